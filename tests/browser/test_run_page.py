"""A run, looked at while it lives."""

from playwright.sync_api import Page, expect

from tests.acceptance.client import Client
from tests.acceptance.stage import Fleet
from tests.browser.axe import serious_findings


def test_a_run_is_watched_from_pending_to_finished_without_a_reload(
    page: Page, web: Client, fleet: Fleet, queue: str
) -> None:
    run_id = web.create(queue, "hold", input={"gate": "end"})
    page.goto(f"/ui/runs/{run_id}")
    state = page.locator("#live .title .badge")
    loads = []
    page.on("load", lambda _: loads.append(page.url))

    expect(state).to_have_text("pending")
    executor = fleet.start("watched")
    expect(state).to_have_text("started")
    expect(page.locator("#live")).to_contain_text(executor.name)
    fleet.gates.open("end")
    expect(state).to_have_text("finished")
    assert loads == []


def test_anybody_can_use_the_page_of_a_run(page: Page, web: Client, queue: str) -> None:
    run_id = web.create(queue, input={"orderId": 7})
    page.goto(f"/ui/runs/{run_id}")

    assert serious_findings(page) == []

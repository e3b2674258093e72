"""The pages on which things stand together: looked at while they live, and acted on."""

import re
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.acceptance.client import Client, outcome_of
from tests.browser.axe import serious_findings


def row(page: Page, kind: str, name: str) -> Locator:
    return page.locator(f'tr[id="{kind}-{name}"]')


def register(holder: Client, queue: str, **members: object) -> str:
    """An executor of a queue; its full name."""
    body = {"session": str(uuid4()), "queues": [queue], "slots": 8, **members}
    return str(holder.ask("PUT", f"/v1/executors/of-{queue}", body)["name"])


def define(ops: Client, queue: str) -> str:
    """A workflow with a branch, a cycle and every kind of step."""
    steps = [
        {"name": "check", "type": "check-it", "next": ["pay", "ask"]},
        {"name": "ask", "type": "ask-it", "next": ["check", "pay"], "waits": True},
        {"name": "pay", "type": "pay-it", "mutating": True, "timeoutSeconds": 30},
    ]
    ops.ask("PUT", f"/v1/workflows/refund-{queue}", {"steps": steps})
    return f"refund-{queue}"


def schedule(ops: Client, queue: str) -> str:
    """A schedule that does not fire while the tests run."""
    body = {"workflow": "report", "cron": "30 3 1 1 *", "queue": queue, "overlap": "queue"}
    ops.ask("PUT", f"/v1/schedules/yearly-{queue}", body)
    return f"yearly-{queue}"


@pytest.fixture
def looked_at(ops: Client, web: Client, holder: Client, queue: str) -> dict[str, str]:
    """Something of every kind, and where it is shown."""
    register(holder, queue, stepTypes=["a", "b", "c", "d", "e"])
    web.create_many(queue, 3, "report")
    [dispatch] = holder.claim(queue)
    holder.report(outcome_of(dispatch, {"status": "success", "output": 1}))
    ops.ask("PUT", f"/v1/queues/{queue}", {"maxConcurrency": 5})
    ops.ask("POST", f"/v1/queues/{queue}/pause")
    schedule(ops, queue)
    workflow = define(ops, queue)
    return {
        "/ui/executors": queue,
        "/ui/queues": queue,
        "/ui/workflows": workflow,
        f"/ui/workflows/{workflow}": "pay-it",
        "/ui/schedules": f"yearly-{queue}",
        "/ui/contention": "workflowRuns",
        "/ui/audit": f"yearly-{queue}",
        "/ui/access": "operator",
    }


@pytest.mark.parametrize("width", [360, 1280])
def test_anybody_can_use_the_lists(page: Page, looked_at: dict[str, str], width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for path, said in looked_at.items():
        page.goto(path)
        expect(page.locator("main")).to_contain_text(said)
        for details in page.locator("main details").all():
            details.evaluate("element => { element.open = true; }")

        assert serious_findings(page) == [], path
        # What is wider than the window scrolls within itself.
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_a_queue_is_paused_and_limited_where_it_is_looked_at(
    page: Page, ops: Client, queue: str
) -> None:
    ops.ask("PUT", f"/v1/queues/{queue}", {})
    page.goto(f"/ui/queues?begins={queue}")
    shown = row(page, "queue", queue)
    shown.get_by_role("button", name="Pause").click()
    page.goto(f"/ui/queues?begins={queue}")
    expect(shown).to_contain_text("paused")
    shown.get_by_text("Limits").click()
    shown.get_by_label("Leases at once").fill("8")
    shown.get_by_role("button", name="Set").click()

    page.goto(f"/ui/queues?begins={queue}")
    expect(shown).to_contain_text("8 leases at once")
    [found] = [one for one in ops.ask("GET", "/v1/queues")["items"] if one["name"] == queue]
    assert (found["paused"], found["maxConcurrency"]) == (True, 8)


def test_what_is_typed_into_a_form_stays_while_the_page_lives(
    page: Page, ops: Client, web: Client, queue: str
) -> None:
    ops.ask("PUT", f"/v1/queues/{queue}", {})
    page.goto(f"/ui/queues?begins={queue}")
    shown = row(page, "queue", queue)
    shown.get_by_text("Limits").click()
    field = shown.get_by_label("Leases at once")
    field.fill("17")
    web.create_many(queue, 3)

    expect(shown.locator("td[data-name='Pending']")).to_contain_text("3")
    expect(field).to_have_value("17")
    expect(field).to_be_visible()


def test_a_reason_that_is_typed_stays_while_the_page_lives(
    page: Page, holder: Client, queue: str
) -> None:
    session = str(uuid4())
    name = register(holder, queue, session=session, version="1.0")
    page.goto(f"/ui/executors?queue={queue}")
    shown = row(page, "executor", name)
    shown.get_by_text("Drain or quarantine").click()
    shown.get_by_label("Why").fill("It charged")
    register(holder, queue, session=session, version="2.0")

    expect(shown.locator("td[data-name='Version']")).to_have_text("2.0")
    expect(shown.get_by_label("Why")).to_have_value("It charged")


def test_an_executor_is_put_in_quarantine_and_resumed(
    page: Page, ops: Client, holder: Client, queue: str
) -> None:
    name = register(holder, queue)
    page.goto(f"/ui/executors?queue={queue}")
    shown = row(page, "executor", name)
    expect(shown.locator("td[data-name='Heartbeat']")).to_contain_text(re.compile(r"\d+ s ago"))
    shown.get_by_text("Drain or quarantine").click()
    shown.get_by_label("Why").fill("It charged a card twice")
    shown.get_by_role("button", name="Quarantine").click()
    expect(shown).to_contain_text("It charged a card twice")
    ops.ask("POST", f"/v1/executors/{name}/resume", {})

    # The page sees what somebody else did, and offers what can be done now.
    expect(shown.locator(".badge")).to_have_text("active")
    expect(shown.get_by_text("Drain or quarantine")).to_be_visible()


def test_a_schedule_is_run_now_and_shows_it(page: Page, ops: Client, queue: str) -> None:
    name = schedule(ops, queue)
    page.goto("/ui/schedules")
    shown = row(page, "schedule", name)
    expect(shown).to_contain_text("At 03:30 on January 1")
    shown.get_by_role("button", name="Run now").click()
    expect(page.locator("#live .title .badge")).to_have_text("pending")
    run_id = page.url.rpartition("/")[2]
    page.goto("/ui/schedules")

    expect(shown.locator(f"a[href='/ui/runs/{run_id}']")).to_contain_text("ago")
    assert ops.ask("GET", f"/v1/schedules/{name}")["lastRunId"] == run_id


def test_the_audit_is_narrowed_by_its_form(page: Page, ops: Client, queue: str) -> None:
    for act in ("pause", "resume"):
        ops.ask("POST", f"/v1/queues/{queue}/{act}")
    page.goto("/ui/audit")
    page.get_by_label("To", exact=True).fill(queue)
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Did").select_option("pause-queue")
    page.get_by_role("button", name="Show").click()

    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name=queue).click()
    expect(row(page, "queue", queue)).to_be_visible()

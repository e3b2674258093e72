"""A run, moved on by somebody who looks at it."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.client import Client, Json, outcome_of
from tests.browser.axe import serious_findings
from tests.browser.watch import Watch

APPROVAL = {
    "type": "object",
    "title": "Approve the refund",
    "required": ["approved", "amount"],
    "properties": {
        "approved": {"type": "boolean", "title": "Approved?"},
        "amount": {"type": "number", "title": "Amount", "maximum": 500},
        "note": {"type": "string", "title": "Note"},
    },
}
SESSION = "01890000-0000-7000-8000-0000000000ab"


@pytest.fixture
def waiting(web: Client, holder: Client, queue: str) -> str:
    """A run that waits for somebody's word."""
    run_id = web.create(queue, "refund")
    [dispatch] = holder.claim(queue)
    outcome = {"status": "awaiting-input", "waitingFor": {"schema": APPROVAL}}
    holder.report(outcome_of(dispatch, outcome))
    return run_id


@pytest.fixture
def unknown(web: Client, ops: Client, holder: Client, queue: str) -> str:
    """A run of which nobody knows whether its step was done."""
    steps = [{"name": "charge", "type": "charge", "mutating": True}]
    ops.ask("PUT", f"/v1/workflows/{queue}", {"steps": steps})
    run_id = web.create(queue, queue)
    [dispatch] = holder.claim(queue)
    begun = {"leaseId": dispatch["lease"]["id"], "session": SESSION}
    holder.ask("POST", f"/v1/runs/{run_id}/steps/0/start", begun)
    holder.report(outcome_of(dispatch, {"status": "unknown", "message": "it hung up"}))
    return run_id


@pytest.fixture
def failed(web: Client, holder: Client, queue: str) -> str:
    """A run that has failed, after a lease that was given back."""
    run_id = web.create(queue, "refund", maxFailures=1)
    [dispatch] = holder.claim(queue)
    lease = {"leaseId": dispatch["lease"]["id"], "runId": run_id}
    given_back = {"session": SESSION, "leases": [lease], "reason": "draining"}
    holder.ask("POST", "/v1/leases/release", given_back)
    [dispatch] = holder.claim(queue)
    holder.report(outcome_of(dispatch, {"status": "error", "message": "no such order"}))
    return run_id


def state(page: Page) -> Any:
    return page.locator("#live .title .badge")


def test_a_run_that_failed_again_is_retried_again_wherever_it_was_seen_before(
    page: Page, holder: Client, failed: str, queue: str
) -> None:
    other = page.context.new_page()
    for each in (page, other):
        each.goto(f"/ui/runs/{failed}")
    other.keyboard.press("p")
    page.get_by_role("button", name="Retry this run").click()
    expect(state(page)).to_have_text("pending")
    [dispatch] = holder.claim(queue)
    again = {"status": "error", "message": "no such order either", "retryable": False}
    holder.report(outcome_of(dispatch, again))
    other.keyboard.press("p")
    expect(other.locator("#live")).to_contain_text("no such order either")
    other.get_by_role("button", name="Retry this run").click()

    expect(state(other)).to_have_text("pending")


def test_its_life_grows_while_it_is_watched_and_what_is_being_typed_stays(
    page: Page, web: Client, holder: Client, queue: str
) -> None:
    run_id = web.create(queue, "refund")
    page.goto(f"/ui/runs/{run_id}")
    page.get_by_role("textbox", name="Why").fill("because")
    [dispatch] = holder.claim(queue)
    expect(page.locator(".ribbon .lease")).to_have_text(
        f"held by {holder_of(dispatch)}, fence {fence_of(dispatch)}"
        f" {holder_of(dispatch)} {fence_of(dispatch)}",
        use_inner_text=False,
    )
    expect(page.locator(".headline time[data-shown]").last).to_contain_text("in ")
    expect(page.get_by_role("textbox", name="Why")).to_have_value("because")
    holder.report(outcome_of(dispatch, {"status": "success", "output": {"ok": True}}))

    expect(state(page)).to_have_text("finished")
    expect(page.locator(".ribbon .phase").last).to_contain_text("finished")
    expect(page.get_by_role("textbox", name="Why")).to_have_count(0)


def holder_of(dispatch: Json) -> str:
    return str(dispatch["run"]["lockedBy"])


def fence_of(dispatch: Json) -> str:
    return str(dispatch["lease"]["fence"])


def test_a_waiting_run_is_given_its_input(
    page: Page, watch: Watch, web: Client, holder: Client, queue: str, waiting: str
) -> None:
    watch.tolerate("status of 422")
    page.goto(f"/ui/runs/{waiting}")
    expect(page.get_by_role("heading", name="Approve the refund")).to_be_visible()
    page.get_by_label("Approved?").select_option("yes")
    page.get_by_label("Amount").fill("501")
    page.get_by_label("Note").fill("it's <b>fine</b>")
    page.get_by_role("button", name="Give it this input").click()

    expect(page.locator(".fault")).to_have_text("501 is greater than the maximum of 500")
    expect(page.get_by_label("Note")).to_have_value("it's <b>fine</b>")
    page.get_by_label("Amount").fill("99.5")
    page.get_by_role("button", name="Give it this input").click()
    expect(state(page)).to_have_text("pending")
    [dispatch] = holder.claim(queue)
    assert dispatch["step"]["input"] == {
        "approved": True,
        "amount": 99.5,
        "note": "it's <b>fine</b>",
    }


def test_an_unknown_outcome_is_resolved(page: Page, web: Client, unknown: str) -> None:
    page.goto(f"/ui/runs/{unknown}")
    expect(page.get_by_text(f"{unknown}:0")).to_be_visible()
    page.get_by_label("Output, as JSON").fill('{"receipt": 7}')
    page.get_by_role("button", name="It was done").click()

    expect(state(page)).to_have_text("finished")
    assert web.run(unknown)["output"] == {"receipt": 7}


def test_a_failed_run_is_retried_by_a_key(page: Page, web: Client, failed: str) -> None:
    page.goto(f"/ui/runs/{failed}")
    expect(state(page)).to_have_text("failed")
    page.keyboard.press("r")

    expect(state(page)).to_have_text("pending")
    assert web.run(failed)["runState"] == "pending"


def test_what_somebody_else_did_first_is_said(
    page: Page, watch: Watch, ops: Client, unknown: str
) -> None:
    watch.tolerate("status of 410")
    # Else what happens would be shown before the button is pressed.
    page.add_init_script("sessionStorage.setItem('paused', 'yes')")
    page.goto(f"/ui/runs/{unknown}")
    ops.ask("POST", f"/v1/runs/{unknown}/resolve", {"as": "abort"})
    page.get_by_role("button", name="Run it again").click()

    expect(page.get_by_role("alert")).to_contain_text("Nothing was changed.")
    expect(state(page)).to_have_text("aborted")
    assert page.url.endswith("/resolve")
    page.get_by_role("button", name="Retry this run").click()
    expect(state(page)).to_have_text("pending")


def test_a_command_is_copied_as_it_stands(page: Page, web: Client, queue: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    text = "it's $(id) \u202e \U0001f642"
    page.goto(f"/ui/runs/{web.create(queue, input={'note': text})}")
    page.get_by_role("button", name="Copy").first.click()

    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = str(page.evaluate("navigator.clipboard.readText()"))
    assert copied == page.locator("#command-create").text_content()
    body = copied.partition("--data-raw '")[2].removesuffix("'").replace("'\"'\"'", "'")
    assert json.loads(body)["input"] == {"note": text}


@pytest.mark.parametrize("which", ["waiting", "unknown", "failed"])
def test_anybody_can_use_its_forms(page: Page, request: pytest.FixtureRequest, which: str) -> None:
    page.goto(f"/ui/runs/{request.getfixturevalue(which)}")
    page.evaluate(
        "() => { for (const one of document.querySelectorAll('details')) one.open = true }"
    )

    assert serious_findings(page) == []

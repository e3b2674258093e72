"""What the page of a run tells of its life, of who was refused it, and of how to make it again."""

import re
from html import unescape
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, outcome_of
from tests.acceptance.stage import Stage, make_token
from tests.acceptance.waiting import eventually
from tests.contract.browser import Browser


@pytest.fixture
def viewer(browser: Browser, stage: Stage) -> Browser:
    browser.sign_in(stage.tokens[Role.VIEWER])
    return browser


def phases_of(page: str) -> list[str]:
    """The names of the phases that are drawn."""
    return re.findall(r'<svg class="phase[^>]*>.*?<text x="6" y="14">([^<]*)<', page, re.DOTALL)


def leases_of(page: str) -> list[str]:
    return re.findall(r'<svg class="lease"[^>]*>\s*<title>held by ([^<]*)<', page)


def list_of(page: str) -> list[str]:
    """The same phases as the list has them, each without its tags."""
    [listed] = re.findall(r'<ol class="life">(.*?)</ol>', page, re.DOTALL)
    texts = (re.sub(r"<[^>]*>", " ", item) for item in listed.split("</li>")[:-1])
    return [unescape(" ".join(text.split())) for text in texts]


@pytest.fixture
def flaky_run(web: Client, holder: Client, queue: str) -> str:
    """A run that was given back, and then failed once."""
    run_id = web.create(queue, maxFailures=2)
    [dispatch] = holder.claim(queue)
    lease = {"leaseId": dispatch["lease"]["id"], "runId": run_id}
    body = {"session": "01890000-0000-7000-8000-0000000000ab", "leases": [lease]}
    holder.ask("POST", "/v1/leases/release", {**body, "reason": "draining"})
    [dispatch] = holder.claim(queue, executor="second")
    holder.report(outcome_of(dispatch, {"status": "error", "message": "<b>no</b> answer"}))
    return run_id


def test_a_life_is_drawn_and_listed_with_each_lease(
    viewer: Browser, web: Client, flaky_run: str
) -> None:
    page = viewer.open(f"/ui/runs/{flaky_run}").text
    first, second = (
        event["fence"] for event in web.events(flaky_run) if event["kind"] == "claimed"
    )
    listed = list_of(page)

    drawn = phases_of(page)
    assert drawn[:5] == ["pending", "loading", "pending", "loading", "back-off"]
    assert leases_of(page) == [f"executor, fence {first}", f"executor:second, fence {second}"]
    assert [name in line for name, line in zip(drawn, listed, strict=True)] == [True] * len(drawn)
    assert f"held by executor:second, fence {second}" in listed[3]
    assert listed[2].endswith("executor gave it back: draining")
    assert "step 0 failed: <b>no</b> answer" in listed[4]


def test_its_error_and_its_output_stand_at_their_step(
    viewer: Browser, web: Client, holder: Client, ops: Client, queue: str
) -> None:
    steps = [{"name": "one", "type": "a", "next": ["two"]}, {"name": "two", "type": "b"}]
    ops.ask("PUT", f"/v1/workflows/two-{queue}", {"steps": steps})
    run_id = web.create(queue, f"two-{queue}")
    [dispatch] = holder.claim(queue)
    [result] = holder.report(outcome_of(dispatch, {"status": "success", "output": {"n": 41}}))
    failure = {"status": "error", "message": "no such order", "retryable": False}
    holder.report(outcome_of(result["next"], failure))
    page = viewer.open(f"/ui/runs/{run_id}").text
    [second, first] = re.findall(r"<summary>\d · <b>.*?</details>", page, re.DOTALL)

    assert "no such order" in second
    assert "&#34;n&#34;: 41" in first
    assert "step 0 is done, two is next" in page
    assert "step 1 failed for good (step-failed): no such order" in page


def test_a_claim_of_what_another_holds_is_told_on_its_page(
    viewer: Browser, web: Client, holder: Client, queue: str
) -> None:
    run_id = web.create(queue)
    holder.claim(queue, leaseSeconds=600)
    for _ in range(2):
        asked = {"session": str(uuid4()), "requestId": str(uuid4()), "executor": "second"}
        refused = holder.send("POST", f"/v1/runs/{run_id}/claim", {**asked, "leaseSeconds": 30})
        assert refused.status_code == 409

    def page() -> str:
        text = viewer.open(f"/ui/runs/{run_id}").text
        return text if "Refused 2 times" in text else ""

    told = eventually(page, what="both refusals")
    assert told.count("<b>executor:second</b> wanted to claim it while another held it") == 2


def test_who_was_refused_is_counted_and_the_last_few_are_told(
    viewer: Browser, web: Client, owner: psycopg.Connection[Any], queue: str
) -> None:
    run_id = web.create(queue)
    quiet = viewer.open(f"/ui/runs/{run_id}").text
    last = """[
      {"at": "2026-11-22T13:26:58.123Z", "code": "run-held", "executor": "a:1",
        "onBehalfOf": "shop"},
      {"at": "2026-11-22T13:26:59.123Z", "code": "lease-lost", "executor": "b",
        "onBehalfOf": null},
      {"at": "2026-11-22T13:27:00.000Z", "code": "of-a-later-version",
        "executor": "</pre><script>", "onBehalfOf": null}]"""
    owner.execute(
        'INSERT INTO "refusedClaims" ("runId", number, last) VALUES (%s, %s, %s)',
        [run_id, 1_234, last],
    )
    page = viewer.open(f"/ui/runs/{run_id}").text

    assert "Refused" not in quiet
    assert "Refused 1234 times" in page
    assert "wanted to claim it while another held it, triggered by shop" in page
    assert "spoke under a lease that was no longer its own" in page
    assert page.index("13:27:00") < page.index("13:26:59") < page.index("13:26:58")
    assert page.count("of-a-later-version") == 2
    assert "&lt;/pre&gt;&lt;script&gt;" in page
    assert "Of those before only the number is kept." in page


def test_the_command_that_makes_it_again_makes_the_same(
    viewer: Browser, web: Client, queue: str
) -> None:
    asked = {"input": {"orderId": 12345678901234567890}, "priority": 7, "concurrencyKey": "k"}
    run_id = web.create(queue, "refund", **asked)
    page = unescape(viewer.open(f"/ui/runs/{run_id}").text)
    [body] = re.findall(r"--data-raw '(.*?)'</pre>", page)
    created = web.send(
        "POST", "/v1/runs", content=body.encode(), headers={"Content-Type": "application/json"}
    ).json()
    alike = ("workflow", "queue", "input", "priority", "concurrencyKey", "maxFailures")

    assert f"$DIBS_URL/v1/runs/{run_id}" in page
    assert {name: created[name] for name in alike} == {
        name: web.run(run_id)[name] for name in alike
    }


def test_no_token_stands_in_a_command(
    browser: Browser, stage: Stage, web: Client, queue: str
) -> None:
    token = make_token(stage.database, f"reader-{queue}", Role.VIEWER, (queue,))
    browser.sign_in(token)
    page = browser.open(f"/ui/runs/{web.create(queue)}").text

    assert "Authorization: Bearer $DIBS_TOKEN" in page
    assert token.split("_")[1] not in page


def test_what_is_polled_holds_no_command_and_what_is_over_still_has_its_own(
    viewer: Browser, web: Client, ops: Client, queue: str
) -> None:
    run_id = web.create(queue)
    ops.ask("POST", f"/v1/runs/{run_id}/abort", {"reason": "enough"})
    whole = viewer.open(f"/ui/runs/{run_id}").text
    polled = viewer.http.get(f"/ui/runs/{run_id}", headers={"HX-Request": "true"}).text

    assert "curl" in whole
    assert "curl" not in polled
    assert phases_of(polled) == ["pending", "aborted"]
    assert "aborted by operator: enough" in polled


def test_why_it_is_not_executing_is_told_gate_by_gate(
    viewer: Browser, web: Client, ops: Client, holder: Client, queue: str
) -> None:
    run_id = web.create(queue)
    ops.ask("POST", f"/v1/queues/{queue}/pause")
    paused = viewer.open(f"/ui/runs/{run_id}").text
    explained = web.ask("GET", f"/v1/runs/{run_id}/explain")
    ops.ask("POST", f"/v1/queues/{queue}/resume")
    holder.claim(queue)
    held = viewer.open(f"/ui/runs/{run_id}").text

    assert explained["reason"] == "queue-paused"
    [gates] = re.findall(r'<ul class="plain gates">(.*?)</ul>', paused, re.DOTALL)
    told = re.findall(r'data-state="(open|shut)">\1</span> <b>([^<]*)</b>', gates)
    assert told == [
        ("open" if gate["open"] else "shut", gate["gate"]) for gate in explained["gates"]
    ]
    assert ("shut", "queue-paused") in told
    assert f"Queue {queue} is paused: operator paused it" in unescape(gates)
    assert "Why it is not executing" not in held


def test_of_what_is_over_nothing_is_explained(
    viewer: Browser, web: Client, ops: Client, queue: str
) -> None:
    run_id = web.create(queue)
    ops.ask("POST", f"/v1/runs/{run_id}/abort")

    assert "Why it is not executing" not in viewer.open(f"/ui/runs/{run_id}").text

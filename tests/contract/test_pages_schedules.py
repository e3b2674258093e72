"""The page of schedules: when each fires, what ran last, and what an operator's forms do."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json
from tests.acceptance.stage import Stage, make_token
from tests.contract.browser import Browser, Form, form_at

PATH = "/ui/schedules"
# It never comes by itself while the tests run.
SELDOM = "30 3 1 1 *"


@pytest.fixture
def operator(browser: Browser, stage: Stage) -> Browser:
    browser.sign_in(stage.tokens[Role.OPERATOR])
    return browser


@pytest.fixture
def schedule(ops: Client, queue: str) -> Iterator[str]:
    """A schedule of the test's own, of its own queue."""
    name = f"nightly-{queue}"
    put(ops, name, queue)
    yield name
    ops.send("DELETE", f"/v1/schedules/{name}")


def put(ops: Client, name: str, queue: str, **members: object) -> Json:
    body = {"workflow": "report", "cron": SELDOM, "queue": queue, "timeZone": "Europe/Berlin"}
    return ops.ask("PUT", f"/v1/schedules/{name}", {**body, "overlap": "queue", **members})


def of_api(ops: Client, name: str) -> Json:
    return ops.ask("GET", f"/v1/schedules/{name}")


def runs_of(ops: Client, queue: str) -> list[Json]:
    items: list[Json] = ops.ask("GET", f"/v1/runs?queue={queue}")["items"]
    return items


def row_of(browser: Browser, name: str) -> str:
    _, found, rest = browser.open(PATH).text.partition(f'id="schedule-{name}"')
    return rest.partition("</tr>")[0] if found else ""


def form_of(browser: Browser, name: str, act: str) -> Form:
    form = form_at(browser.open(PATH), f"{PATH}/{name}/{act}")
    assert form is not None, (name, act)
    return form


def test_a_schedule_is_shown_in_words_with_its_next_times(
    operator: Browser, schedule: str, queue: str
) -> None:
    row = row_of(operator, schedule)

    for said in (
        SELDOM,
        "At 03:30 on January 1",
        "Europe/Berlin",
        "-01-01 02:30:00",
        queue,
        "none",
    ):
        assert said in row
    assert row.count("-01-01 02:30:00") == 3 + 1


def test_run_now_by_form_is_the_apis_and_done_once(
    operator: Browser, ops: Client, schedule: str, queue: str
) -> None:
    form = form_of(operator, schedule, "run-now")
    first, again = operator.send(form), operator.send(form)
    [run] = runs_of(ops, queue)
    [line] = ops.ask("GET", f"/v1/audit?subject={schedule}&kind=run-schedule")["items"]

    assert (first.status_code, first.headers["Location"]) == (303, f"/ui/runs/{run['id']}")
    assert again.headers["Location"] == first.headers["Location"]
    assert (line["actor"], line["detail"]) == (Role.OPERATOR, {"runId": run["id"]})
    assert f"/ui/runs/{run['id']}" in row_of(operator, schedule)

    other = operator.send(form_of(operator, schedule, "run-now"))

    assert len(runs_of(ops, queue)) == 2
    assert f"/ui/runs/{of_api(ops, schedule)['lastRunId']}" == other.headers["Location"]


def test_when_overlap_keeps_it_from_running_the_page_says_so(
    operator: Browser, ops: Client, schedule: str, queue: str
) -> None:
    put(ops, schedule, queue, overlap="skip")
    operator.send(form_of(operator, schedule, "run-now"))
    skipped = operator.send(form_of(operator, schedule, "run-now"))
    page = operator.open(skipped.headers["Location"])

    assert f"No run of {schedule} was created" in page.text
    assert len(runs_of(ops, queue)) == 1


def test_of_what_is_no_schedule_the_page_says_nothing(operator: Browser) -> None:
    page = operator.open(f"{PATH}?skipped=anything.+Call+this+number")

    assert (page.status_code, "Call this number" in page.text) == (200, False)


def test_every_way_from_a_schedule_leads_somewhere(operator: Browser, schedule: str) -> None:
    found = {
        html.unescape(way) for way in re.findall(r'href="([^"]+)"', row_of(operator, schedule))
    }

    # Nobody has defined the workflow.
    assert len(found) == 2
    assert {operator.open(way).status_code for way in found} == {200}


def test_a_pause_by_form_is_the_apis(operator: Browser, ops: Client, schedule: str) -> None:
    before = of_api(ops, schedule)
    answer = operator.send(form_of(operator, schedule, "pause"))
    paused = of_api(ops, schedule)

    assert (answer.status_code, answer.headers["Location"]) == (303, f"{PATH}#schedule-{schedule}")
    assert (paused["paused"], paused["changedBy"]) == (True, Role.OPERATOR)
    assert 'data-state="paused"' in row_of(operator, schedule)

    operator.send(form_of(operator, schedule, "resume"))
    after = of_api(ops, schedule)

    assert (after["paused"], after["nextAt"]) == (False, before["nextAt"])
    kinds = [line["detail"] for line in ops.ask("GET", f"/v1/audit?subject={schedule}")["items"]]
    assert kinds[:2] == [{"paused": False}, {"paused": True}]


def test_a_viewer_sees_no_form_and_sends_none(
    browsers: Callable[[], Browser], stage: Stage, ops: Client, schedule: str, queue: str
) -> None:
    viewer = browsers()
    viewer.sign_in(stage.tokens[Role.VIEWER])
    page = viewer.open(PATH)
    signs_out = form_at(page, "/ui/sign-out")
    assert signs_out is not None

    assert schedule in page.text
    for act in ("run-now", "pause", "resume"):
        assert form_at(page, f"{PATH}/{schedule}/{act}") is None
        answer = viewer.post(f"{PATH}/{schedule}/{act}", signs_out.fields)
        assert (answer.status_code, "insufficient-scope" in answer.text) == (403, True)
    assert (of_api(ops, schedule)["paused"], runs_of(ops, queue)) == (False, [])


def test_schedules_of_other_queues_are_as_if_they_were_not_there(
    browser: Browser, stage: Stage, ops: Client, schedule: str, queue: str
) -> None:
    browser.sign_in(make_token(stage.database, f"some-{queue}", Role.OPERATOR, (f"mine-{queue}",)))
    page = browser.open(PATH)
    signs_out = form_at(page, "/ui/sign-out")
    assert signs_out is not None
    fields = signs_out.fields | {"key": "01890000-0000-7000-8000-0000000000ab"}

    assert schedule not in page.text
    for name in (schedule, "not-there"):
        for act in ("run-now", "pause", "resume"):
            assert browser.post(f"{PATH}/{name}/{act}", fields).status_code == 404
    assert (of_api(ops, schedule)["paused"], runs_of(ops, queue)) == (False, [])


def test_run_now_needs_the_key_of_its_form(operator: Browser, ops: Client, schedule: str) -> None:
    form = form_of(operator, schedule, "run-now")
    del form.fields["key"]

    assert operator.send(form).status_code == 400
    assert of_api(ops, schedule)["lastRunId"] is None

"""The pages of workflows: what is defined, drawn, and how runs of late went."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json, outcome_of
from tests.acceptance.stage import Stage, make_token
from tests.acceptance.waiting import eventually
from tests.contract.browser import Browser
from tests.contract.test_pages_content import INLINE

PATH = "/ui/workflows"


@pytest.fixture
def viewer(browser: Browser, stage: Stage) -> Browser:
    browser.sign_in(stage.tokens[Role.VIEWER])
    return browser


@pytest.fixture
def workflow(ops: Client, queue: str) -> str:
    """A workflow of the test's own, in its second version."""
    name = f"refund-{queue}"
    define(ops, name, step("check"))
    define(ops, name, step("check", "pay", "ask"), step("ask", "check", waits=True), step("pay"))
    return name


def step(name: str, *following: str, **members: object) -> Json:
    return {"name": name, "type": f"{name}-it", "next": [*following], **members}


def define(ops: Client, name: str, *steps: Json) -> Json:
    return ops.ask("PUT", f"/v1/workflows/{name}", {"steps": [*steps]})


def finish(web: Client, holder: Client, queue: str, workflow: str, *outcomes: Json) -> None:
    """Runs that end so, one after another."""
    for outcome in outcomes:
        web.create(queue, workflow, maxFailures=1)
        [dispatch] = holder.claim(queue)
        holder.report(outcome_of(dispatch, outcome))


def row_of(browser: Browser, name: str) -> str:
    _, found, rest = browser.open(PATH).text.partition(f'id="workflow-{name}"')
    return rest.partition("</tr>")[0] if found else ""


def test_a_workflow_is_shown_with_its_steps_drawn_and_told(viewer: Browser, workflow: str) -> None:
    page = viewer.open(f"{PATH}/{workflow}").text

    for said in ("version 2", "check-it", "pay or ask", "waits for input", "the run is over"):
        assert said in page
    assert page.count('class="box') == 3
    assert page.count('class="line') == 3
    assert page.count('class="line back"') == 1
    assert "No executor serves ask-it, check-it, pay-it now" in page
    assert not INLINE.search(page)
    row = row_of(viewer, workflow)
    assert "2 <small>of 2</small>" in row
    assert "nobody serves ask-it, check-it, pay-it" in row


def test_an_earlier_version_can_be_looked_at(viewer: Browser, workflow: str) -> None:
    page = viewer.open(f"{PATH}/{workflow}?version=1").text

    assert page.count('class="box') == 1
    assert f'href="{PATH}/{workflow}"' in page
    assert f'href="{PATH}/{workflow}?version=2"' in page


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("{name}?version=3", 404),
        ("{name}?version=0", 422),
        ("{name}?version=9999999999", 422),
        ("{name}?other=1", 422),
        ("not-there", 404),
        ("a%20b", 404),
        ("%00", 404),
    ],
)
def test_what_is_not_there_is_said(viewer: Browser, workflow: str, path: str, status: int) -> None:
    assert viewer.open(f"{PATH}/{path.format(name=workflow)}").status_code == status


def test_how_its_runs_ended_of_late_is_told(
    viewer: Browser, web: Client, holder: Client, queue: str
) -> None:
    name = f"undefined-{queue}"
    success, error = {"status": "success", "output": 1}, {"status": "error", "message": "no"}
    finish(web, holder, queue, name, success, success, success, error)

    def told() -> str | None:
        row = row_of(viewer, name)
        return row if ">4</td>" in row else None

    row = eventually(told)
    assert "25.0 %" in row
    assert "no definition" in row
    assert row.count(" ms</td>") + row.count(" s</td>") == 2


def test_runs_of_other_queues_are_not_told_of(
    browsers: Callable[[], Browser],
    viewer: Browser,
    stage: Stage,
    web: Client,
    holder: Client,
    queue: str,
) -> None:
    name, narrow = f"undefined-{queue}", browsers()
    narrow.sign_in(make_token(stage.database, f"some-{queue}", Role.VIEWER, (f"mine-{queue}",)))
    finish(web, holder, queue, name, {"status": "success", "output": 1})
    eventually(lambda: row_of(viewer, name))

    # One sample is for all who ask: it holds that run now.
    assert row_of(narrow, name) == ""


def test_its_schedules_are_told(viewer: Browser, ops: Client, workflow: str, queue: str) -> None:
    body = {"workflow": workflow, "cron": "0 0 1 1 *", "queue": queue}
    ops.ask("PUT", f"/v1/schedules/of-{queue}", body)

    assert f"{PATH.replace('workflows', 'schedules')}#schedule-of-{queue}" in (
        viewer.open(f"{PATH}/{workflow}").text
    )
    assert "-01-01 00:00:00" in row_of(viewer, workflow)
    ops.send("DELETE", f"/v1/schedules/of-{queue}")

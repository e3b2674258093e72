"""The page of queues: what is in them, what they allow, and what an operator's forms do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json
from tests.acceptance.stage import Stage, make_token
from tests.acceptance.waiting import eventually
from tests.contract.browser import Browser, Form, form_at

PATH = "/ui/queues"
# Guards are skipped (replica), and the ledger knows nothing of these: they are gone before it is
# looked at.
FILL = """
INSERT INTO "workflowRuns" (id, workflow, queue, "stepQueue", "runState", priority, "availableAt",
  "claimKey", "stepIndex", "stepName", "stepType", input, attempt, failures, crashes, releases,
  "maxFailures", "maxCrashes", fence, "createdBy", "createdAt", version)
SELECT gen_random_uuid(), 'refund', %(queue)s, %(queue)s, 'pending', 0, now(), now(), 0, 'refund',
       'refund', '{}', 0, 0, 0, 0, 3, 3, 0, 'web', now(), 1
  FROM generate_series(1, %(runs)s)
"""
NO_LIMITS = {"maxConcurrency": None, "ratePerSecond": None, "maxConcurrencyPerKey": None}


@pytest.fixture
def operator(browser: Browser, stage: Stage) -> Browser:
    browser.sign_in(stage.tokens[Role.OPERATOR])
    return browser


@pytest.fixture
def own(ops: Client, queue: str) -> str:
    """A queue that is shown at once, for something was set of it."""
    ops.ask("PUT", f"/v1/queues/{queue}", {})
    return queue


def page_of(queue: str) -> str:
    """Of all queues no more are shown than 200, and other tests have made theirs."""
    return f"{PATH}?begins={queue}"


def row_of(browser: Browser, queue: str) -> str:
    """What the page says of one queue."""
    _, found, rest = browser.open(page_of(queue)).text.partition(f'id="queue-{queue}"')
    return rest.partition("</tr>")[0] if found else ""


def form_of(browser: Browser, queue: str, act: str) -> Form:
    form = form_at(browser.open(page_of(queue)), f"{PATH}/{queue}/{act}")
    assert form is not None, (queue, act)
    return form


def of_api(ops: Client, queue: str) -> Json:
    items = ops.ask("GET", "/v1/queues")["items"]
    return next(dict(item) for item in items if item["name"] == queue)


def limits(ops: Client, queue: str) -> Json:
    return {name: of_api(ops, queue)[name] for name in NO_LIMITS}


def test_a_queue_is_shown_with_its_depth_by_state_and_who_is_wanted(
    operator: Browser, web: Client, holder: Client, queue: str
) -> None:
    web.create_many(queue, 4)
    holder.claim(queue, limit=1)
    row = eventually(
        lambda: next((row for row in [row_of(operator, queue)] if "state=loading" in row), None)
    )

    assert f"search=queue:{queue}&amp;state=pending" in row
    assert ">3</a>" in row
    assert ">1</a>" in row
    assert "wanted" in row
    # Since when the oldest has been due, to be counted by the browser.
    assert "data-shown" in row


@pytest.fixture
def deep(owner: psycopg.Connection[Any], queue: str) -> Iterator[str]:
    """A queue with more runs than are counted; they are gone afterwards."""
    owner.execute("SET session_replication_role = replica")
    owner.execute(FILL, {"queue": queue, "runs": 10_001})
    yield queue
    owner.execute('DELETE FROM "workflowRuns" WHERE queue = %s', [queue])


def test_no_more_than_ten_thousand_are_counted(operator: Browser, deep: str) -> None:
    eventually(lambda: ">10,000+</a>" in row_of(operator, deep))


def test_a_pause_by_form_is_the_apis(operator: Browser, ops: Client, own: str) -> None:
    answer = operator.send(form_of(operator, own, "pause"))
    [paused] = ops.ask("GET", f"/v1/audit?subject={own}&kind=pause-queue")["items"]

    assert (answer.status_code, answer.headers["Location"]) == (303, f"{PATH}#queue-{own}")
    assert of_api(ops, own)["paused"] is True
    assert (paused["actor"], paused["queue"]) == (Role.OPERATOR, own)
    assert 'data-state="paused"' in row_of(operator, own)

    operator.send(form_of(operator, own, "resume"))

    assert of_api(ops, own)["paused"] is False
    assert 'data-state="paused"' not in row_of(operator, own)


def test_limits_are_set_by_form_and_what_is_left_empty_is_none(
    operator: Browser, ops: Client, own: str
) -> None:
    operator.send(form_of(operator, own, "limits"), maxConcurrency="8", ratePerSecond=" 20 ")
    row = row_of(operator, own)
    form = form_of(operator, own, "limits")

    assert limits(ops, own) == NO_LIMITS | {"maxConcurrency": 8, "ratePerSecond": 20}
    assert "8 leases at once, 20 a second" in row
    assert (form.fields["maxConcurrency"], form.fields["maxConcurrencyPerKey"]) == ("8", "")

    operator.send(form, maxConcurrency="", ratePerSecond="", maxConcurrencyPerKey="3")

    assert limits(ops, own) == NO_LIMITS | {"maxConcurrencyPerKey": 3}
    [newest, *_] = ops.ask("GET", f"/v1/audit?subject={own}")["items"]
    assert (newest["kind"], newest["detail"]) == ("limit-queue", {"maxConcurrencyPerKey": 3})


@pytest.mark.parametrize("limit", ["0", "-1", "1.5", "many", "1000001", "٣", "1e3", "9" * 5000])
def test_what_is_no_limit_is_refused(operator: Browser, ops: Client, own: str, limit: str) -> None:
    answer = operator.send(form_of(operator, own, "limits"), maxConcurrency=limit)

    assert (answer.status_code, "/maxConcurrency" in answer.text) == (422, True)
    assert limits(ops, own) == NO_LIMITS


def test_a_viewer_sees_no_form_and_sends_none(
    browsers: Callable[[], Browser], operator: Browser, stage: Stage, ops: Client, own: str
) -> None:
    viewer = browsers()
    viewer.sign_in(stage.tokens[Role.VIEWER])
    page = viewer.open(page_of(own))
    signs_out = form_at(page, "/ui/sign-out")
    assert signs_out is not None

    assert own in page.text
    for act in ("pause", "resume", "limits"):
        assert form_at(page, f"{PATH}/{own}/{act}") is None
        answer = viewer.post(f"{PATH}/{own}/{act}", signs_out.fields)
        assert (answer.status_code, "insufficient-scope" in answer.text) == (403, True)
    assert of_api(ops, own)["paused"] is False


def test_queues_of_others_are_not_shown_and_not_acted_on(
    browser: Browser, stage: Stage, ops: Client, own: str
) -> None:
    browser.sign_in(make_token(stage.database, f"some-{own}", Role.OPERATOR, (f"mine-{own}",)))
    page = browser.open(PATH)
    signs_out = form_at(page, "/ui/sign-out")
    assert signs_out is not None

    assert own not in page.text.replace(f"some-{own}", "")
    for act in ("pause", "resume", "limits"):
        assert browser.post(f"{PATH}/{own}/{act}", signs_out.fields).status_code == 403
    assert browser.post(f"{PATH}/a%20b/pause", signs_out.fields).status_code == 404
    assert of_api(ops, own)["paused"] is False


def test_those_whose_names_begin_so_can_be_asked_for(operator: Browser, own: str) -> None:
    assert f"queue-{own}" in operator.open(f"{PATH}?begins={own[:-1]}").text
    assert f"queue-{own}" not in operator.open(f"{PATH}?begins=x{own}").text

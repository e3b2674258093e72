"""What keeps a lease of the adapter's, though nobody renews one there."""

from typing import Any

import httpx2
import pytest

from tests.acceptance.client import Json
from tests.contract.adapter import (
    GUIDANCE,
    LOGS,
    Adapter,
    Forest,
    as_bearer,
    log_body,
    run_id_of,
    told,
)
from tests.contract.polled import BY_A_MODEL, FIRST, REPORT, lasts, polled, state

RECORDED = BY_A_MODEL | {"preRecordedArgs": {"fieldNames": ["total"]}}
AUTOMATIC = {"type": "condition", "executionType": "automatic"}
MANUAL = {"type": "condition", "executionType": "manual"}


@pytest.mark.parametrize(
    ("params", "seconds"),
    [
        ({}, FIRST),
        (GUIDANCE, FIRST),
        (RECORDED, FIRST),
        (MANUAL, FIRST),
        (BY_A_MODEL, 300 + REPORT),
        (AUTOMATIC, 300 + REPORT),
    ],
    ids=["native", "guidance", "recorded", "manual", "by a model", "automatic"],
)
@pytest.mark.parametrize("way", ["poll", "by number"])
def test_a_lease_is_short_until_the_first_sign_unless_none_is_to_be_expected(
    adapter: Adapter, queue: str, params: Json, seconds: int, way: str
) -> None:
    executor, run = polled(adapter, queue, params=params)
    if way == "by number":
        adapter.take_away(run)
        run = executor.available(run["id"])

    assert lasts(adapter, run, seconds)
    assert state(adapter, run) == "loading"


def ask_for_the_schema(executor: Forest, run: Json) -> httpx2.Response:
    return executor.schema(run)


def read(executor: Forest, run: Json) -> httpx2.Response:
    return executor.log(run, "read")


def write(executor: Forest, run: Json) -> httpx2.Response:
    return executor.log(run, "write")


def end_access(executor: Forest, run: Json) -> httpx2.Response:
    return executor.log_over(run)


@pytest.mark.parametrize("sign", [ask_for_the_schema, read, write, end_access])
@pytest.mark.parametrize(("timeout", "seconds"), [(None, 300), (2.5, 3), (4000, 4000)])
def test_a_sign_of_life_makes_a_lease_long_and_confirms_it(
    adapter: Adapter, queue: str, sign: Any, timeout: float | None, seconds: int
) -> None:
    executor, run = polled(adapter, queue, timeoutSeconds=timeout)

    assert sign(executor, run).is_success

    assert lasts(adapter, run, seconds + REPORT)
    assert state(adapter, run) == "started"


def test_the_next_step_is_expected_to_give_a_sign_of_its_own(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)
    executor.log(run)

    second = executor.go_on(run)

    assert second is not None
    assert lasts(adapter, run, FIRST)
    executor.log(second)
    executor.go_on(run)
    assert lasts(adapter, run, 300 + REPORT)


def test_a_log_is_answered_with_what_is_named_when_it_is_over(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)

    answer = executor.log(run)
    over = executor.log_over(run)

    assert answer.status_code == 200
    data = answer.json()["data"]
    assert (data["id"], data["attributes"]["index"]) == ("0", str(run["id"]))
    assert (over.status_code, over.content) == (204, b"")


def test_only_a_write_is_written_ahead(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)

    executor.schema(run)
    executor.log(run, "read")
    executor.log_over(run)

    assert "step-started" not in adapter.web.kinds(run_id_of(run))
    executor.log(run, "write")
    executor.log(run, "write")
    assert adapter.web.kinds(run_id_of(run)).count("step-started") == 1


@pytest.mark.parametrize("kind", ["write", "delete", "", "READ"])
def test_what_is_not_a_reading_is_taken_for_a_write(
    adapter: Adapter, queue: str, kind: str
) -> None:
    executor, run = polled(adapter, queue)

    assert executor.log(run, kind).status_code == 200

    assert "step-started" in adapter.web.kinds(run_id_of(run))


def test_a_write_is_written_ahead_whatever_the_definition_says(
    adapter: Adapter, queue: str
) -> None:
    """The executor's own store refuses a second write of the step."""
    executor, run = polled(adapter, queue, mutating=False)

    assert executor.log(run, "write").status_code == 200

    assert "step-started" in adapter.web.kinds(run_id_of(run))


def take_away(adapter: Adapter, executor: Forest, run: Json) -> None:
    adapter.take_away(run)


def give_to_another(adapter: Adapter, executor: Forest, run: Json) -> None:
    adapter.take_away(run)
    assert adapter.executor(adapter.web.run(run_id_of(run))["queue"]).available(run["id"])


def give_back(adapter: Adapter, executor: Forest, run: Json) -> None:
    adapter.take_away(run)
    assert executor.available(run["id"])


def report(adapter: Adapter, executor: Forest, run: Json) -> None:
    assert executor.go_on(run)


def abort(adapter: Adapter, executor: Forest, run: Json) -> None:
    adapter.web.ask("POST", f"/v1/runs/{run_id_of(run)}/abort", {})


@pytest.mark.parametrize("end", [take_away, give_to_another, give_back, report, abort])
@pytest.mark.parametrize("kind", ["read", "write"])
def test_whoever_has_lost_the_step_may_not_access_anything(
    adapter: Adapter, queue: str, end: Any, kind: str
) -> None:
    executor, run = polled(adapter, queue)
    end(adapter, executor, run)
    before = adapter.web.kinds(run_id_of(run))

    answer = executor.log(run, kind)

    assert told(answer) == (403, "dispatch-over")
    assert "step-started" not in adapter.web.kinds(run_id_of(run))
    assert [each for each in adapter.web.kinds(run_id_of(run)) if each != "started"] == [
        each for each in before if each != "started"
    ]


def test_the_error_of_whoever_was_refused_is_not_taken_for_the_newer_leases(
    adapter: Adapter, queue: str
) -> None:
    """One executor may still execute a step that it has lost, and holds anew."""
    executor, run = polled(adapter, queue)
    adapter.take_away(run)
    [again] = executor.poll()
    assert told(executor.log(run)) == (403, "dispatch-over")

    assert told(executor.tell(run, "error")) == (409, "lease-lost")

    assert state(adapter, run) == "loading"
    assert executor.log(again).status_code == 200
    assert executor.go_on(again, "error") is None
    assert state(adapter, run) == "failed"


@pytest.mark.parametrize("case", ["a success", "refused elsewhere", "long ago", "an aborted run"])
def test_no_other_outcome_is_refused_for_it(adapter: Adapter, queue: str, case: str) -> None:
    executor, run = polled(adapter, queue)
    if case == "an aborted run":
        adapter.web.ask("POST", f"/v1/runs/{run_id_of(run)}/abort", {})
        assert executor.log(run).status_code == 403
        assert executor.go_on(run, "error") is None
        return
    adapter.take_away(run)
    other = adapter.executor(queue) if case == "refused elsewhere" else executor
    [again] = other.poll()
    assert executor.log(run).status_code == 403
    if case == "long ago":
        adapter.owner.execute(
            """UPDATE "compatRuns" SET "refusedAt" = "refusedAt" - interval '11 seconds'"""
        )

    status = "success" if case == "a success" else "error"

    assert other.tell(again, status).status_code == 200


def test_that_an_access_is_over_is_heard_also_after_the_report(
    adapter: Adapter, queue: str
) -> None:
    """It is not waited for there; and the next step's lease is none of its business."""
    executor, run = polled(adapter, queue)
    executor.log(run)
    executor.go_on(run)

    assert executor.log_over(run).status_code == 204

    assert lasts(adapter, run, FIRST)


def test_an_access_is_named_as_it_was_answered(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)

    for path in (f"{LOGS}/{run['id'] + 1}/0/status", f"{LOGS}/{run['id']}/1/status"):
        answer = executor.client.send(
            "PATCH", path, {"status": "completed"}, headers=as_bearer(run)
        )
        assert told(answer) == (404, "not-found")


def forged(run: Json) -> list[str]:
    token = run["userProfile"]["serverToken"]
    text, _, signature = token.rpartition(".")
    number, rest = text.split("-", 1)
    return [
        "x",
        text,
        f"{text}.",
        f"{int(number) + 1}-{rest}.{signature}",
        f"{text}.{signature[:-1]}",
        f"{token}x",
        f"{token}.{signature}",
        "é",
        "." * 300,
        "9" * 290,
    ]


def test_a_server_token_that_was_not_signed_here_is_refused(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)

    for token in forged(run):
        answer = executor.client.send(
            "POST", LOGS, log_body("write"), headers={"Authorization": f"Bearer {token}".encode()}
        )
        assert told(answer) == (401, "unauthenticated"), token
    answer = executor.send("POST", LOGS, log_body("write"))
    assert told(answer) == (401, "unauthenticated")
    assert "step-started" not in adapter.web.kinds(run_id_of(run))

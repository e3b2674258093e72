"""Retries of a step: its own budget and back-off win over the run's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.integration.face import Face, Json, step

AT_ONCE = {"backoffSeconds": 0}


def fail_until_over(face: Face, dispatch: Json) -> int:
    """Let a step fail until its run has failed; how often that was."""
    run_id = dispatch["run"]["id"]
    for failures in range(1, 101):
        if face.fail(dispatch)["status"] == "failed":
            return failures
        face.let_time_pass(run_id)
        dispatch = face.hold(run_id)
    raise AssertionError("it never failed")


@pytest.mark.parametrize(
    ("of_step", "of_run", "allowed"), [(None, 2, 2), (1, 5, 1), (4, 1, 4), (4, 4, 4)]
)
def test_the_budget_of_the_step_wins_over_the_runs(
    face: Face, of_step: int | None, of_run: int, allowed: int
) -> None:
    retry = AT_ONCE | ({} if of_step is None else {"maxFailures": of_step})
    dispatch = face.dispatch(face.define(step("a", retry=retry)), maxFailures=of_run)

    failures = fail_until_over(face, dispatch)

    run = face.run(dispatch["run"]["id"])
    assert (failures, run["failures"]) == (allowed, allowed)
    assert (run["error"]["code"], run["error"]["message"]) == ("failed-too-often", "no answer")


def test_each_step_begins_with_a_budget_of_its_own(face: Face) -> None:
    retry = AT_ONCE | {"maxFailures": 2}
    dispatch = face.dispatch(face.define(step("a", "b", retry=retry), step("b", retry=retry)))
    run_id = dispatch["run"]["id"]
    face.fail(dispatch)
    face.let_time_pass(run_id)

    following = face.succeed(face.hold(run_id))["next"]

    assert following["run"]["failures"] == 0
    assert following["run"]["error"] is None
    assert face.fail(following)["status"] == "scheduled"
    face.let_time_pass(run_id)
    assert face.fail(face.hold(run_id))["status"] == "failed"


def test_a_wait_does_not_give_back_the_budget(face: Face) -> None:
    """A step that asks and fails in turn would never be over."""
    dispatch = face.dispatch(face.define(step("a", retry=AT_ONCE | {"maxFailures": 2})))
    run_id = dispatch["run"]["id"]
    face.fail(dispatch)
    face.let_time_pass(run_id)
    face.await_input(face.hold(run_id))

    again = face.hold(run_id, input=1)

    assert again["run"]["failures"] == 1
    assert face.fail(again)["status"] == "failed"


def test_crashes_count_over_the_whole_run(face: Face) -> None:
    dispatch = face.dispatch(face.define(step("a", "b"), step("b")), maxCrashes=2)
    run_id = dispatch["run"]["id"]
    face.expire(run_id)
    following = face.succeed(face.hold(run_id))["next"]

    face.expire(run_id)

    assert following["run"]["crashes"] == 1
    run = face.run(run_id)
    assert (run["runState"], run["error"]["code"]) == ("failed", "crashed-too-often")
    assert run["error"]["stepIndex"] == 1


@pytest.mark.parametrize(
    ("retry", "failures", "bound"),
    [
        ({}, 0, 2),
        ({}, 3, 16),
        ({}, 50, 300),
        ({"backoffSeconds": 10}, 0, 10),
        ({"backoffSeconds": 10, "backoffFactor": 3}, 2, 90),
        ({"backoffSeconds": 10, "backoffFactor": 3, "maxBackoffSeconds": 60}, 2, 60),
        ({"backoffSeconds": 10, "backoffFactor": 1}, 40, 10),
        ({"backoffSeconds": 10, "backoffFactor": 100}, 98, 300),
        ({"backoffSeconds": 0.5, "maxBackoffSeconds": 0.25}, 5, 0.25),
    ],
)
def test_pauses_are_drawn_evenly_below_the_back_off(
    face: Face, retry: dict[str, Any], failures: int, bound: float
) -> None:
    """Full jitter: a fifth of a hundred draws is in each fifth, more or less."""
    workflow = face.define(step("a", retry={"maxFailures": 100, **retry}))
    queue = face.create(workflow)["queue"]
    for _ in range(99):
        face.create(workflow, queue=queue)
    held = face.claim(queue, limit=100)
    face.sql('UPDATE "workflowRuns" SET failures = %s WHERE queue = %s', failures, queue)
    before = face.sql("SELECT clock_timestamp() AS now")[0]["now"]

    face.tell(*((each, {"status": "error", "message": "no"}) for each in held))

    after = face.sql("SELECT clock_timestamp() AS now")[0]["now"]
    slack = (after - before).total_seconds()
    rows = face.sql('SELECT "availableAt" FROM "workflowRuns" WHERE queue = %s', queue)
    pauses = [(row["availableAt"] - before).total_seconds() for row in rows]
    assert len(pauses) == 100
    assert 0 <= min(pauses) <= bound / 5 + slack
    assert bound * 4 / 5 <= max(pauses) <= bound + slack


@pytest.mark.parametrize("retry", [{"backoffSeconds": 0}, {"maxBackoffSeconds": 0}])
def test_a_step_may_be_tried_again_at_once(face: Face, retry: dict[str, Any]) -> None:
    dispatch = face.dispatch(face.define(step("a", retry=retry)))
    face.fail(dispatch)
    face.tick()

    assert face.state(dispatch["run"]["id"]) == ("pending", "a")


def test_an_error_that_may_not_be_retried_fails_whatever_the_budget(face: Face) -> None:
    dispatch = face.dispatch(face.define(step("a", retry={"maxFailures": 100})))

    assert face.fail(dispatch, retryable=False)["status"] == "failed"
    assert face.run(dispatch["run"]["id"])["error"]["code"] == "step-failed"


def test_later_costs_nothing_and_is_not_before_its_time(face: Face) -> None:
    dispatch = face.dispatch(face.define(step("a", "b"), step("b", retry={"maxFailures": 1})))
    run_id = dispatch["run"]["id"]
    following = face.succeed(dispatch, "of a")["next"]
    outcome = {"status": "later", "availableAt": "2999-01-01T00:00:00Z"}

    result = face.tell((following, outcome))[0]
    face.tick()

    run = face.run(run_id)
    assert (result["status"], run["runState"], run["failures"]) == ("scheduled", "scheduled", 0)
    assert datetime.fromisoformat(run["availableAt"]).year == 2999
    assert face.claim_run(run_id).status_code == 409
    face.let_time_pass(run_id)
    again = face.hold(run_id)
    assert (again["step"]["name"], again["step"]["outputs"]) == ("b", {"a": "of a"})


def test_a_retry_of_an_operator_goes_on_at_the_step_that_failed(face: Face) -> None:
    workflow = face.define(step("a", "b"), step("b", retry={"maxFailures": 1}))
    following = face.succeed(face.dispatch(workflow), "of a")["next"]
    run_id = following["run"]["id"]
    face.fail(following)

    retried = face.retry(run_id)

    assert (retried["runState"], retried["stepName"], retried["stepIndex"]) == ("pending", "b", 1)
    assert (retried["failures"], retried["crashes"], retried["error"]) == (0, 0, None)
    again = face.hold(run_id)
    assert again["step"]["outputs"] == {"a": "of a"}
    assert face.succeed(again)["status"] == "finished"


def test_the_time_a_step_may_take_is_in_its_dispatch(face: Face) -> None:
    workflow = face.define(
        step("a", "b", timeoutSeconds=1.5, params={"n": 1}), step("b", params={"n": 2})
    )
    dispatch = face.dispatch(workflow)

    following = face.succeed(dispatch)["next"]

    assert (dispatch["step"]["timeoutSeconds"], dispatch["step"]["params"]) == (1.5, {"n": 1})
    assert (following["step"]["timeoutSeconds"], following["step"]["params"]) == (None, {"n": 2})

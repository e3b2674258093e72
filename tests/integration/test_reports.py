"""Reports: what each outcome makes of the run."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor, outcome


def test_a_success_finishes_the_run_with_its_output(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)

    answer = dibs.tell(dispatch, executor, "success", output='{"refunded": 12.5}')

    row = dibs.row(dispatch.run.id)
    assert (answer.status, answer.replayed, answer.problem) == ("finished", False, None)
    assert (row["runState"], row["output"]) == ("finished", {"refunded": 12.5})
    assert (row["leaseId"], row["lockedBy"]) == (None, None)
    assert dibs.sql('SELECT state, output FROM "workflowSteps"') == [
        {"state": "finished", "output": {"refunded": 12.5}}
    ]
    assert dibs.events(dispatch.run.id) == ["created", "claimed", "reported"]


def test_an_error_is_tried_again_after_a_bounded_pause(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    before = dibs.now()

    answer = dibs.tell(dispatch, executor, "error", message="no answer")

    row = dibs.row(dispatch.run.id)
    assert answer.status == row["runState"] == "scheduled"
    assert (row["failures"], row["error"]["message"]) == (1, "no answer")
    assert before <= row["availableAt"] <= dibs.now() + timedelta(seconds=2)


def test_pauses_grow_with_failures_and_are_capped(dibs: Dibs, executor: Executor) -> None:
    pauses = []
    for failures in range(12):
        dispatch = dibs.dispatch(executor, max_failures=100)
        dibs.sql('UPDATE "workflowRuns" SET failures = %s WHERE id = %s', failures, dispatch.run.id)
        before = dibs.now()
        dibs.tell(dispatch, executor, "error", message="no answer")
        pauses.append((dibs.row(dispatch.run.id)["availableAt"] - before).total_seconds())

    assert all(0 <= pause <= min(300, 2 * 2**failures) + 1 for failures, pause in enumerate(pauses))
    assert max(pauses) > 5


def test_the_last_failure_of_the_budget_fails_the_run(dibs: Dibs, executor: Executor) -> None:
    run = dibs.pending(max_failures=3)
    for _ in range(2):
        dispatch, _ = dibs.claim_run(executor, run.id)
        dibs.tell(dispatch, executor, "error", message="no answer")
        dibs.make_due(run.id)
        dibs.tick()
    dispatch, _ = dibs.claim_run(executor, run.id)

    answer = dibs.tell(dispatch, executor, "error", message="no answer")

    row = dibs.row(run.id)
    assert answer.status == "failed"
    assert (row["failures"], row["error"]["code"]) == (3, "failed-too-often")


def test_an_error_that_may_not_be_retried_fails_the_run_at_once(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = dibs.dispatch(executor)

    dibs.tell(dispatch, executor, "error", message="no such card", retryable=False)

    error = dibs.row(dispatch.run.id)["error"]
    assert error == {"code": "step-failed", "message": "no such card", "stepIndex": 0}


@pytest.mark.parametrize(("retryable", "state"), [(None, "failed"), (True, "scheduled")])
def test_a_begun_mutating_step_is_tried_again_only_when_the_handler_says_so(
    dibs: Dibs, executor: Executor, retryable: bool | None, state: str
) -> None:
    begun = dibs.begun(executor)

    answer = dibs.tell(begun, executor, "error", message="no answer", retryable=retryable)

    assert answer.status == state


def test_an_unknown_outcome_parks_the_run(dibs: Dibs, executor: Executor) -> None:
    begun = dibs.begun(executor)

    dibs.tell(begun, executor, "unknown", message="it hung up")

    row = dibs.row(begun.run.id)
    assert row["runState"] == "waiting"
    assert row["waitingFor"] == {"reason": "outcome-unknown", "message": "it hung up"}
    assert row["mutatingSince"] is None


def test_a_run_that_awaits_input_waits_as_long_as_it_says(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    waiting_for = '{"reason": "input", "schema": {}, "timeoutSeconds": 60}'

    dibs.tell(dispatch, executor, "awaiting-input", waiting_for=waiting_for)

    row = dibs.row(dispatch.run.id)
    assert (row["runState"], row["waitingFor"]["timeoutSeconds"]) == ("waiting", 60)
    assert 55 < (row["availableAt"] - dibs.now()).total_seconds() <= 60


def test_later_is_not_before_its_time(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    tomorrow = dibs.now() + timedelta(days=1)

    answer = dibs.tell(dispatch, executor, "later", available_at=tomorrow)

    row = dibs.row(dispatch.run.id)
    assert (answer.status, row["availableAt"], row["failures"]) == ("scheduled", tomorrow, 0)


@pytest.mark.fault("F4")
def test_an_expired_lease_that_nobody_took_may_still_report(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.expire(dispatch.run.id)

    answer = dibs.tell(dispatch, executor, "success")

    assert answer.status == "finished"


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({"status": "success"}, "finished"),
        ({"status": "error", "message": "stopped"}, "aborted"),
        ({"status": "awaiting-input", "waiting_for": '{"reason": "input"}'}, "aborted"),
    ],
)
def test_a_report_that_comes_before_the_abort_takes_effect_is_stored(
    dibs: Dibs, executor: Executor, told: dict[str, str], state: str
) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.abort(dispatch.run.id)

    answer = dibs.report(outcome(dispatch, executor, **told))[0]

    assert (answer.status, answer.problem) == (state, None)

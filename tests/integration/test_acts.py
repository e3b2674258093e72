"""Acts of clients and operators: abort, resume, resolve, retry."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from orchestrator.errors import RunAlreadyActive, RunNotFound, RunOver, StateConflict
from orchestrator.store.records import Dispatch
from tests.integration.dibs import Dibs, Executor, held, leases


def waiting(dibs: Dibs, executor: Executor) -> Dispatch:
    """A run that waits for input."""
    dispatch = dibs.dispatch(executor)
    dibs.tell(dispatch, executor, "awaiting-input", waiting_for='{"reason": "input"}')
    return dispatch


def unknown(dibs: Dibs, executor: Executor) -> Dispatch:
    """A run whose mutating step may or may not have happened."""
    begun = dibs.begun(executor)
    dibs.tell(begun, executor, "unknown", message="it hung up")
    return begun


def failed(dibs: Dibs, executor: Executor, **changes: str) -> Dispatch:
    dispatch = dibs.dispatch(executor, **changes)
    dibs.tell(dispatch, executor, "error", message="no", retryable=False)
    return dispatch


def test_a_run_that_nobody_holds_is_aborted_at_once(dibs: Dibs, executor: Executor) -> None:
    pending, parked = dibs.pending(), waiting(dibs, executor).run
    scheduled = dibs.pending(available_at=dibs.now().replace(year=2099))

    states = [dibs.abort(run.id).run_state for run in (pending, scheduled, parked)]

    assert states == ["aborted"] * 3
    assert dibs.claim(executor, limit=5).dispatches == ()


def test_a_held_run_goes_on_until_its_holder_has_heard_of_the_abort(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = dibs.dispatch(executor)

    run = dibs.abort(dispatch.run.id)

    assert (run.run_state, run.abort_requested_at is not None) == ("loading", True)
    assert dibs.renew(executor, dispatch).renewed[0].abort
    assert dibs.events(run.id) == ["created", "claimed", "abort-requested", "started"]


def test_an_abort_that_the_holder_ignores_is_ended_by_the_keeper(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.abort(dispatch.run.id)
    dibs.expire(dispatch.run.id)
    dibs.tick()

    row = dibs.row(dispatch.run.id)
    assert (row["runState"], row["crashes"]) == ("aborted", 1)


def test_a_second_abort_gets_the_run_as_it_is(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.abort(dispatch.run.id)
    before = dibs.row(dispatch.run.id)

    assert dibs.abort(dispatch.run.id).version == before["version"]
    assert dibs.row(dispatch.run.id) == before


def test_an_unknown_outcome_is_not_aborted_away(dibs: Dibs, executor: Executor) -> None:
    dispatch = unknown(dibs, executor)

    with pytest.raises(StateConflict):
        dibs.abort(dispatch.run.id)
    assert dibs.state(dispatch.run.id) == "waiting"


def test_input_makes_a_waiting_run_pending_at_the_step_that_asked(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    dispatch = waiting(dibs, executor)

    run = dibs.resume(dispatch.run.id, input_json='{"approved": true}')
    again, _ = dibs.claim_run(other, run.id)

    assert (run.run_state, run.step_index) == ("pending", 0)
    assert again.resume_input is not None
    assert dibs.row(run.id)["resumeInput"] == {"approved": True}


def test_input_survives_a_crash_and_a_retry_of_the_step(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    dispatch = waiting(dibs, executor)
    dibs.claim_run(executor, dispatch.run.id, input_json='{"approved": true}')
    dibs.expire(dispatch.run.id)
    dibs.tick()

    again, _ = dibs.claim_run(other, dispatch.run.id)

    assert again.resume_input is not None
    assert dibs.row(dispatch.run.id)["resumeInput"] == {"approved": True}


def test_an_unknown_outcome_is_resolved_as_done_with_the_given_output(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = unknown(dibs, executor)

    run = dibs.resolve(dispatch.run.id, "done", output_json='{"charged": 5}')

    assert (run.run_state, dibs.row(run.id)["output"]) == ("finished", {"charged": 5})
    assert dibs.sql('SELECT state, output FROM "workflowSteps"') == [
        {"state": "finished", "output": {"charged": 5}}
    ]


def test_an_unknown_outcome_that_is_run_again_gets_a_new_idempotency_key(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = unknown(dibs, executor)

    run = dibs.resolve(dispatch.run.id, "run-again")

    row = dibs.row(run.id)
    assert (run.run_state, run.step_index) == ("pending", 1)
    assert (row["failures"], row["crashes"], row["mutatingSince"]) == (0, 0, None)


def test_an_unknown_outcome_is_resolved_as_aborted(dibs: Dibs, executor: Executor) -> None:
    dispatch = unknown(dibs, executor)

    assert dibs.resolve(dispatch.run.id, "abort").run_state == "aborted"


def test_a_failed_run_goes_on_at_the_step_that_failed_its_budgets_unused(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = failed(dibs, executor)

    run = dibs.retry(dispatch.run.id)

    row = dibs.row(run.id)
    assert (run.run_state, run.step_index, run.failures, run.crashes) == ("pending", 0, 0, 0)
    assert (row["error"], row["finishedAt"]) == (None, None)
    assert dibs.claim_run(executor, run.id)[0].lease.fence > dispatch.lease.fence


def test_an_aborted_run_is_retried_and_no_longer_to_be_aborted(
    dibs: Dibs, executor: Executor
) -> None:
    run = dibs.pending()
    dibs.abort(run.id)

    assert dibs.retry(run.id).abort_requested_at is None


def test_a_retried_mutating_step_gets_a_new_idempotency_key(dibs: Dibs, executor: Executor) -> None:
    begun = dibs.begun(executor)
    dibs.tell(begun, executor, "error", message="no")
    first = dibs.retry(begun.run.id)
    again, _ = dibs.claim_run(executor, first.id)
    dibs.tell(again, executor, "error", message="not begun", retryable=False)

    second = dibs.retry(begun.run.id)

    # Only a step that had begun takes the next index.
    assert (first.step_index, second.step_index) == (1, 1)


def test_a_retried_mutating_step_can_be_begun_again(dibs: Dibs, executor: Executor) -> None:
    begun = dibs.begun(executor)
    dibs.tell(begun, executor, "error", message="no")
    dibs.retry(begun.run.id)
    again, _ = dibs.claim_run(executor, begun.run.id)
    leases.start_step(dibs.database, held(again, executor), step_index=1)

    assert dibs.tell(again, executor, "success").status == "finished"


def test_a_retry_yields_to_a_live_run_with_the_same_dedup_key(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = failed(dibs, executor, dedup_key="order-7")
    live = dibs.pending(dedup_key="order-7")

    with pytest.raises(RunAlreadyActive) as refused:
        dibs.retry(dispatch.run.id)
    assert refused.value.members["runId"] == str(live.id)
    assert dibs.state(dispatch.run.id) == "failed"


def over(dibs: Dibs, executor: Executor) -> Dispatch:
    dispatch = dibs.dispatch(executor)
    dibs.tell(dispatch, executor, "success")
    return dispatch


REFUSALS: list[tuple[str, Callable[[Dibs, Executor], Dispatch], type[Exception]]] = [
    ("abort", over, RunOver),
    ("resume", over, RunOver),
    ("resolve", over, RunOver),
    ("retry", over, RunOver),
    ("resume", unknown, StateConflict),
    ("resume", lambda dibs, executor: dibs.dispatch(executor), StateConflict),
    ("resolve", waiting, StateConflict),
    ("resolve", lambda dibs, executor: dibs.dispatch(executor), StateConflict),
    ("retry", waiting, StateConflict),
    ("retry", lambda dibs, executor: dibs.dispatch(executor), StateConflict),
]


@pytest.mark.parametrize(("act", "arrange", "refusal"), REFUSALS)
def test_an_act_that_the_state_does_not_allow_is_refused_and_changes_nothing(
    dibs: Dibs,
    executor: Executor,
    act: str,
    arrange: Callable[[Dibs, Executor], Dispatch],
    refusal: type[Exception],
) -> None:
    run_id = arrange(dibs, executor).run.id
    before = dibs.row(run_id)

    with pytest.raises(refusal):
        dibs.resolve(run_id, "done") if act == "resolve" else getattr(dibs, act)(run_id)
    assert dibs.row(run_id) == before


@pytest.mark.parametrize("act", ["abort", "resume", "retry"])
def test_an_act_on_a_run_that_is_missing_is_refused(dibs: Dibs, act: str) -> None:
    with pytest.raises(RunNotFound):
        getattr(dibs, act)(uuid4())

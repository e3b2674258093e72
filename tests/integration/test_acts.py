"""Acts of clients and operators: abort, resume, resolve, retry."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from orchestrator.errors import RunNotFound, RunOver, StateConflict
from orchestrator.store.records import Dispatch
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor


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

"""An act with a key is done once, however often it is asked for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest

from orchestrator.errors import IdempotencyKeyReused, RunOver, StateConflict
from orchestrator.store import acts, claims, leases, reports
from orchestrator.store.acts import Act
from orchestrator.store.claims import RunWish
from tests.integration.blocking import waits_for_a_lock
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor, held, outcome


def test_a_repeated_abort_gets_the_run_as_it_is_now(dibs: Dibs) -> None:
    run = dibs.pending()
    first = dibs.abort(run.id, key="k")

    assert dibs.abort(run.id, key="k").version == first.version
    with pytest.raises(RunOver):
        dibs.abort(run.id, key="another")
    with pytest.raises(RunOver):
        dibs.abort(run.id)


def test_a_repeated_abort_does_not_abort_the_run_that_was_retried_since(dibs: Dibs) -> None:
    run = dibs.pending()
    dibs.abort(run.id, key="k")
    dibs.retry(run.id)

    assert dibs.abort(run.id, key="k").run_state == "pending"


def test_a_repeated_retry_does_not_retry_a_later_failure(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.tell(dispatch, executor, "error", message="no", retryable=False)
    dibs.retry(dispatch.run.id, key="k")
    again, _ = dibs.claim_run(executor, dispatch.run.id)
    dibs.tell(again, executor, "error", message="no", retryable=False)

    assert dibs.retry(dispatch.run.id, key="k").run_state == "failed"


def test_a_repeated_resume_does_not_answer_the_next_question(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.tell(dispatch, executor, "awaiting-input", waiting_for='{"reason": "input"}')
    dibs.resume(dispatch.run.id, key="k")
    again, _ = dibs.claim_run(executor, dispatch.run.id)
    dibs.tell(again, executor, "awaiting-input", waiting_for='{"reason": "input"}')

    assert dibs.resume(dispatch.run.id, key="k").run_state == "waiting"


def test_a_repeated_resolve_does_not_run_the_step_a_third_time(
    dibs: Dibs, executor: Executor
) -> None:
    begun = dibs.begun(executor)
    dibs.tell(begun, executor, "unknown", message="it hung up")
    first = dibs.resolve(begun.run.id, "run-again", key="k")

    assert dibs.resolve(begun.run.id, "run-again", key="k").version == first.version
    with pytest.raises(StateConflict):
        dibs.resolve(begun.run.id, "run-again", key="another")


def test_an_abort_that_was_requested_already_is_remembered_by_its_key(
    dibs: Dibs, executor: Executor
) -> None:
    """Its late copy does not abort the run that was retried since."""
    dispatch = dibs.dispatch(executor)
    first = dibs.abort(dispatch.run.id)
    second = dibs.abort(dispatch.run.id, key="k")
    repeated = dibs.abort(dispatch.run.id, key="k")
    dibs.tell(dispatch, executor, "error", message="no")
    ended = dibs.state(dispatch.run.id)
    dibs.retry(dispatch.run.id)

    late = dibs.abort(dispatch.run.id, key="k")

    assert second.abort_requested_at == first.abort_requested_at
    assert (second.version, repeated.version) == (first.version + 1, first.version + 1)
    assert (ended, late.run_state) == ("aborted", "pending")
    kinds = ["created", "claimed", "abort-requested", "abort-requested", "reported", "retried"]
    assert dibs.events(dispatch.run.id) == kinds


def test_a_key_belongs_to_the_token_that_used_it(dibs: Dibs) -> None:
    run = dibs.pending()
    dibs.abort(run.id, key="k", actor="web")

    with pytest.raises(RunOver):
        dibs.abort(run.id, key="k", actor="ops")


def test_a_key_that_another_act_used_is_refused_by_name(dibs: Dibs) -> None:
    run = dibs.pending()
    dibs.abort(run.id, key="k", actor="ops")

    with pytest.raises(IdempotencyKeyReused, match="aborted"):
        dibs.retry(run.id, key="k")
    assert dibs.state(run.id) == "aborted"


def test_a_retry_that_waited_sees_what_began_meanwhile(
    dibs: Dibs, executor: Executor, owner: psycopg.Connection
) -> None:
    """A mutating step that began while a retry waited for the row takes the next index."""
    dispatch = dibs.dispatch(executor)
    dibs.tell(dispatch, executor, "error", message="no", retryable=False)
    run_id = dispatch.run.id
    act = Act(run_id, actor="ops", request_id=None, idempotency_key=None)
    wish = RunWish(uuid4(), executor.token, executor.name, executor.session, 30, run_id, None)

    with ThreadPoolExecutor(1) as asker, dibs.database.work.begin() as connection:
        acts.retry(connection, act)
        second = claims.claim_run(connection, wish)
        assert second is not None
        late = asker.submit(dibs.retry, run_id)
        assert waits_for_a_lock(owner)
        leases.start_step(connection, [held(second, executor)], step_indexes=[0])
        reports.report(connection, [outcome(second, executor, "error", message="no")])
        connection.commit()
        run = late.result()

    assert (run.run_state, run.step_index) == ("pending", 1)


def test_a_key_of_another_act_repeats_nothing(dibs: Dibs) -> None:
    run = dibs.pending()
    dibs.abort(run.id, key="k", actor="ops")

    with pytest.raises(RunOver):
        dibs.abort(run.id, key="j", actor="ops")
    assert dibs.retry(run.id, key="r").run_state == "pending"


@pytest.mark.parametrize("key", ["k", None])
def test_of_acts_at_once_one_takes_effect(dibs: Dibs, executor: Executor, key: str | None) -> None:
    for _ in range(10):
        dispatch = dibs.dispatch(executor)
        dibs.tell(dispatch, executor, "error", message="no", retryable=False)
        run_id = dispatch.run.id

        def act(run_id: object = run_id) -> bool:
            try:
                dibs.retry(run_id, key=key)  # type: ignore[arg-type]
            except StateConflict:
                return False
            return True

        with ThreadPoolExecutor(4) as askers:
            done = [future.result() for future in [askers.submit(act) for _ in range(4)]]

        assert done.count(True) == (4 if key else 1)
        assert dibs.events(run_id) == ["created", "claimed", "reported", "retried"]

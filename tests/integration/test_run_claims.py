"""Claims by id: in every state, with input, and on behalf of someone who sees less."""

from __future__ import annotations

from uuid import uuid4

import pytest

from orchestrator.errors import RunHeld, RunNotClaimable, RunNotFound, RunOver
from orchestrator.store import queues
from orchestrator.store.transaction import transact
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor


def test_a_pending_run_is_leased_to_whoever_names_it(dibs: Dibs, executor: Executor) -> None:
    run = dibs.pending()

    dispatch, replayed = dibs.claim_run(executor, run.id)

    assert not replayed
    assert dibs.row(run.id)["leaseId"] == dispatch.lease.id
    assert dibs.events(run.id) == ["created", "claimed"]


@pytest.mark.parametrize("confirmed", [False, True])
def test_a_held_run_is_refused_and_the_refusal_says_when_to_come_again(
    dibs: Dibs, executor: Executor, other: Executor, confirmed: bool
) -> None:
    dispatch = dibs.dispatch(executor, lease_seconds=50)
    if confirmed:
        dibs.renew(executor, dispatch)

    with pytest.raises(RunHeld) as refused:
        dibs.claim_run(other, dispatch.run.id)
    row = dibs.row(dispatch.run.id)
    assert refused.value.members["runState"] == ("started" if confirmed else "loading")
    assert refused.value.members["leaseExpiresAt"] == row["leaseExpiresAt"]
    assert 40 < (refused.value.retry_after_seconds or 0) <= 50
    assert row["lockedBy"] == executor.name


@pytest.mark.parametrize("state", ["finished", "failed", "aborted"])
def test_a_run_that_is_over_is_gone(
    dibs: Dibs, executor: Executor, other: Executor, state: str
) -> None:
    dispatch = dibs.dispatch(executor, max_failures=1)
    if state == "aborted":
        dibs.abort(dispatch.run.id)
    dibs.tell(dispatch, executor, "success" if state == "finished" else "error", message="no")

    with pytest.raises(RunOver) as refused:
        dibs.claim_run(other, dispatch.run.id)
    assert refused.value.members["runState"] == state


def test_a_run_that_is_not_due_is_refused(dibs: Dibs, executor: Executor) -> None:
    run = dibs.pending(available_at=dibs.now().replace(year=2099))

    assert gate(dibs, executor, run.id) == "due-time"


def test_a_run_of_a_paused_queue_is_refused_until_it_goes_on(
    dibs: Dibs, executor: Executor
) -> None:
    run = dibs.pending()
    pause(dibs, paused=True)

    assert gate(dibs, executor, run.id) == "queue-paused"
    assert dibs.claim(executor).dispatches == ()
    pause(dibs, paused=False)
    assert dibs.claim_run(executor, run.id)[0].run.id == run.id


def test_a_waiting_run_needs_input(dibs: Dibs, executor: Executor) -> None:
    waiting = dibs.dispatch(executor)
    dibs.tell(waiting, executor, "awaiting-input", waiting_for='{"reason": "input"}')

    assert gate(dibs, executor, waiting.run.id) == "needs-input"


def test_input_resumes_and_claims_a_waiting_run_in_one_go(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    waiting = dibs.dispatch(executor)
    dibs.tell(waiting, executor, "awaiting-input", waiting_for='{"reason": "input"}')

    dispatch, _ = dibs.claim_run(other, waiting.run.id, input_json='{"approved": true}')

    row = dibs.row(waiting.run.id)
    assert (row["runState"], row["lockedBy"]) == ("loading", other.name)
    assert row["resumeInput"] == {"approved": True}
    assert row["waitingFor"] is None
    assert dispatch.lease.fence > waiting.lease.fence
    assert dibs.events(waiting.run.id) == ["created", "claimed", "reported", "resumed", "claimed"]


def test_input_for_a_run_that_does_not_wait_is_refused(dibs: Dibs, executor: Executor) -> None:
    run = dibs.pending()

    assert gate(dibs, executor, run.id, input_json="{}") == "not-waiting"
    assert dibs.state(run.id) == "pending"


def test_an_unknown_outcome_is_not_claimed_away_with_or_without_input(
    dibs: Dibs, executor: Executor
) -> None:
    begun = dibs.begun(executor)
    dibs.tell(begun, executor, "unknown", message="it hung up")

    assert gate(dibs, executor, begun.run.id) == "outcome-unknown"
    assert gate(dibs, executor, begun.run.id, input_json="{}") == "outcome-unknown"


def test_a_run_of_a_queue_that_the_caller_does_not_cover_looks_like_none(
    dibs: Dibs, executor: Executor
) -> None:
    run = dibs.pending(queue="payroll")

    with pytest.raises(RunNotFound) as hidden:
        dibs.claim_run(executor, run.id, queue_patterns=("billing.*",))
    with pytest.raises(RunNotFound) as missing:
        dibs.claim_run(executor, uuid4())
    assert hidden.value.message == missing.value.message
    assert dibs.state(run.id) == "pending"


def test_nothing_is_left_of_a_refused_claim(dibs: Dibs, executor: Executor) -> None:
    run = dibs.pending(available_at=dibs.now().replace(year=2099))
    gate(dibs, executor, run.id)

    assert dibs.sql('SELECT at FROM "claimRequests"') == []


@pytest.mark.parametrize("state", ["draining", "quarantined"])
def test_an_executor_that_is_taken_out_of_service_gets_nothing(
    dibs: Dibs, executor: Executor, other: Executor, state: str
) -> None:
    run = dibs.pending()
    dibs.register(executor)
    dibs.set_executor(executor, state)

    with pytest.raises(RunNotClaimable):
        dibs.claim_run(executor, run.id)
    assert dibs.claim(executor).dispatches == ()
    assert len(dibs.claim(other).dispatches) == 1


def gate(dibs: Dibs, executor: Executor, run_id: object, *, input_json: str | None = None) -> str:
    """Which gate is shut."""
    with pytest.raises(RunNotClaimable) as refused:
        dibs.claim_run(executor, run_id, input_json=input_json)  # type: ignore[arg-type]
    return str(refused.value.members["gate"])


def pause(dibs: Dibs, *, paused: bool) -> None:
    transact(
        dibs.database.work,
        lambda connection: queues.set_paused(connection, "default", paused=paused, actor="ops"),
    )

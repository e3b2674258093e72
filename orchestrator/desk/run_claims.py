"""Claims by id: the same claim, and a refusal that says what was seen.

The guarded UPDATE decides. What is read afterwards only words the refusal.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NoReturn

from sqlalchemy import Connection

from orchestrator.desk.claim_desk import replay
from orchestrator.desk.visibility import visible_run
from orchestrator.errors import LeaseLost, Overloaded, RunHeld, RunNotClaimable, RunOver
from orchestrator.lifecycle import LEASED, OVER, Gate, RunState, WaitingReason
from orchestrator.store import claim_requests, claims, executors, queues
from orchestrator.store.claim_requests import ClaimRequest
from orchestrator.store.claims import RunWish
from orchestrator.store.engine import Database
from orchestrator.store.leases import server_time
from orchestrator.store.records import Dispatch, Run
from orchestrator.store.transaction import transact

# A run can become claimable between the claim and the look that words the
# refusal: then the claim is simply tried again.
TRIES = 5

_WHY = {
    Gate.DUE_TIME: "it is not due yet.",
    Gate.QUEUE_PAUSED: "its queue is paused.",
    Gate.NEEDS_INPUT: "it waits for input, and the claim brought none.",
    Gate.NOT_WAITING: "the claim brought input, and it does not wait for any.",
    Gate.EXECUTOR_NOT_SERVING: "an operator has taken this executor out of service.",
    Gate.OUTCOME_UNKNOWN: "whether its last step happened is not known; only resolve moves it.",
}


class _TryAgain(Exception):
    """The run turned out to be claimable after all."""


def claim_run(
    database: Database, wish: RunWish, *, body_hash: bytes, queue_patterns: tuple[str, ...]
) -> tuple[Dispatch, bool]:
    """
    Lease one run by id.

    Args:
        queue_patterns: What the caller may see; for a trigger also the one on
            whose behalf it is asked.

    Returns:
        The dispatch, and whether it is the one that the same request got before.

    Raises:
        RunNotFound: There is no such run among these queues.
        RunHeld: Somebody holds it.
        RunNotClaimable: Its state is in the way; `gate` says how.
        RunOver: It is finished, failed or aborted.
        LeaseLost: The same request got it before, and has lost it since.
        RequestIdReused: The request id belongs to another body.
    """
    for _ in range(TRIES):
        try:
            return transact(
                database.work,
                lambda connection: _claim(connection, wish, body_hash, queue_patterns),
            )
        except _TryAgain:
            continue
    raise Overloaded(
        f"Run {wish.run_id} changed {TRIES} times while it was claimed.", retry_after_seconds=1
    )


def _claim(
    connection: Connection, wish: RunWish, body_hash: bytes, queue_patterns: tuple[str, ...]
) -> tuple[Dispatch, bool]:
    visible_run(connection, wish.run_id, queue_patterns)
    request = ClaimRequest(wish.token_name, wish.request_id, wish.session, body_hash)
    replayed = replay(connection, request, lease_seconds=wish.lease_seconds)
    if replayed:
        return replayed[0], True
    if replayed is not None:
        raise LeaseLost(wish.run_id)
    dispatch = claims.claim_run(connection, wish)
    if dispatch is None:
        _refuse(connection, wish, queue_patterns)
    claim_requests.settle(
        connection,
        wish.token_name,
        wish.request_id,
        run_ids=[dispatch.run.id],
        lease_ids=[dispatch.lease.id],
    )
    return dispatch, False


def _refuse(connection: Connection, wish: RunWish, queue_patterns: tuple[str, ...]) -> NoReturn:
    run = visible_run(connection, wish.run_id, queue_patterns)
    now = server_time(connection)
    paused = run.step_queue in queues.paused_among(connection, [run.step_queue])
    if run.run_state in OVER:
        raise RunOver(run.id, run.run_state)
    if run.run_state in LEASED:
        raise RunHeld(run.id, run.run_state, run.lease_expires_at, _seconds_left(run, now))
    serving = executors.is_serving(connection, wish.executor, wish.session)
    gate = _gate(run, paused=paused, brought_input=wish.input is not None, serving=serving)
    if gate is None:
        raise _TryAgain
    raise RunNotClaimable(run.id, run.run_state, gate, _WHY[gate])


def _gate(run: Run, *, paused: bool, brought_input: bool, serving: bool) -> Gate | None:
    """The first gate that is shut, or None when the run is claimable now."""
    if run.run_state == RunState.SCHEDULED:
        return Gate.DUE_TIME
    if run.run_state == RunState.WAITING and run.waiting_reason == WaitingReason.OUTCOME_UNKNOWN:
        return Gate.OUTCOME_UNKNOWN
    if run.run_state == RunState.WAITING and not brought_input:
        return Gate.NEEDS_INPUT
    if run.run_state == RunState.PENDING and brought_input:
        return Gate.NOT_WAITING
    if paused:
        return Gate.QUEUE_PAUSED
    return None if serving else Gate.EXECUTOR_NOT_SERVING


def _seconds_left(run: Run, now: datetime) -> float:
    expires_at = run.lease_expires_at or datetime.now(UTC)
    return max(1.0, (expires_at - now).total_seconds())

"""Claims by id: the same claim, and a refusal that says what was seen.

The guarded UPDATE decides. What is read afterwards only words the refusal.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn

from sqlalchemy import Connection

from orchestrator.desk.allowances import Allowances
from orchestrator.desk.claim_batch import replay
from orchestrator.desk.expected_input import require_expected
from orchestrator.desk.granted import count_granted
from orchestrator.desk.queue_gates import full_key
from orchestrator.desk.visibility import visible_run
from orchestrator.errors import (
    DibsError,
    LeaseLost,
    Overloaded,
    RunHeld,
    RunNotClaimable,
    RunNotFound,
    RunOver,
)
from orchestrator.lifecycle import LEASED, OVER, Gate, RunState, WaitingReason, covers
from orchestrator.store import claim_requests, claims, executors, gates, limits, queues
from orchestrator.store.activity import Counted
from orchestrator.store.claim_requests import ClaimRequest
from orchestrator.store.claims import RunWish
from orchestrator.store.engine import Database
from orchestrator.store.executors import OutOfService
from orchestrator.store.gates import Key, Standing
from orchestrator.store.known_limits import KnownLimits
from orchestrator.store.known_slots import Taking
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
    Gate.NOT_WAITING: "the claim brought input, and it does not wait for that.",
    Gate.OUTCOME_UNKNOWN: "whether its last step happened is not known; only resolve moves it.",
}


class _TryAgain(Exception):
    """The run turned out to be claimable after all."""


def claim_run(
    database: Database,
    wish: RunWish,
    *,
    body_hash: bytes,
    queue_patterns: tuple[str, ...],
    step_queue_patterns: tuple[str, ...],
    value: Any = None,
    on_behalf_of: str | None = None,
) -> tuple[Dispatch, bool]:
    """
    Lease one run by id.

    Args:
        on_behalf_of: The name of the token whose trigger it is, to be noted when it is refused.
        queue_patterns: What the caller may see; for a trigger also the one on
            whose behalf it is asked.
        step_queue_patterns: What the executor's own token may claim from.
        value: The input of the wish, to be checked against what the run waits for.

    Returns:
        The dispatch, and whether it is the one that the same request got before.

    Raises:
        RunNotFound: There is no such run among these queues.
        RunHeld: Somebody holds it.
        RunNotClaimable: Its state is in the way; `gate` says how.
        RunOver: It is finished, failed or aborted.
        ValidationFailed: The input is not what the run waits for.
        LeaseLost: The same request got it before, and has lost it since.
        RequestIdReused: The request id belongs to another body.
    """
    claim = partial(
        _claim,
        wish=wish,
        body_hash=body_hash,
        queue_patterns=queue_patterns,
        step_queue_patterns=step_queue_patterns,
        value=value,
        known=database.limits,
    )
    for _ in range(TRIES):
        with suppress(_TryAgain), database.slots.taking() as taking:
            try:
                dispatch, replayed = transact(database.work, partial(claim, slots=taking))
            except (RunHeld, RunNotClaimable, RunOver, LeaseLost) as refusal:
                database.tally.refuse(
                    wish.run_id, refusal.code, executor=wish.executor, on_behalf_of=on_behalf_of
                )
                raise
            counted = Counted.REPLAYED if replayed else Counted.CLAIMED
            database.tally.count(counted, dispatch.run.step_queue)
            database.metrics.claims["id", "replayed" if replayed else "granted"].add()
            if not replayed:
                count_granted(database.metrics, [dispatch])
            return dispatch, replayed
    raise Overloaded(
        f"Run {wish.run_id} changed {TRIES} times while it was claimed.", retry_after_seconds=1
    )


def _claim(
    connection: Connection,
    wish: RunWish,
    body_hash: bytes,
    queue_patterns: tuple[str, ...],
    step_queue_patterns: tuple[str, ...],
    value: Any,
    known: KnownLimits,
    slots: Taking,
) -> tuple[Dispatch, bool]:
    run = visible_run(connection, wish.run_id, queue_patterns)
    if not covers(step_queue_patterns, run.step_queue):
        raise RunNotFound
    request = ClaimRequest(wish.token_name, wish.request_id, wish.session, body_hash)
    replayed = replay(connection, request, lease_seconds=wish.lease_seconds)
    if replayed:
        return replayed[0], True
    if replayed is not None:
        raise _what_became_of_it(connection, run)
    # Before the run's row, and that before its key: in this order everywhere.
    allowances = Allowances(connection, known, [run.step_queue])
    allowed = allowances.of(run.step_queue, 1)
    if wish.input is not None:
        # The claim requires this version: what was checked is what is resumed.
        require_expected(run, value)
        wish = replace(wish, seen_version=run.version)
        _require_place(connection, run)
    process = (wish.executor, wish.session)
    if not slots.take(connection, [(process, 1)])[0]:
        _refuse(connection, wish, queue_patterns, known, allowances, slots.full(process))
    dispatch = claims.claim_run(
        connection, wish, within_limits_of=run.step_queue if allowed else None
    )
    if dispatch is None:
        _refuse(connection, wish, queue_patterns, known, allowances)
    slots.gave(0, 1)
    if allowed:
        allowances.note(run.step_queue, 1)
        allowances.keep()
    claim_requests.keep(connection, request, run_id=dispatch.run.id, lease_id=dispatch.lease.id)
    return dispatch, False


def _what_became_of_it(connection: Connection, run: Run) -> DibsError:
    """A repeat whose lease has ended: it is answered by the run's state and claims nothing."""
    if run.run_state in OVER:
        return RunOver(run.id, run.run_state)
    if run.run_state in LEASED:
        now = server_time(connection)
        return RunHeld(run.id, run.run_state, run.lease_expires_at, _seconds_left(run, now))
    return LeaseLost(run.id)


def _refuse(
    connection: Connection,
    wish: RunWish,
    queue_patterns: tuple[str, ...],
    known: KnownLimits,
    allowances: Allowances,
    full: OutOfService | None = None,
) -> NoReturn:
    run = visible_run(connection, wish.run_id, queue_patterns)
    now = server_time(connection)
    paused = run.step_queue in queues.paused_among(connection, [run.step_queue])
    if run.run_state in OVER:
        raise RunOver(run.id, run.run_state)
    if run.run_state in LEASED:
        raise RunHeld(run.id, run.run_state, run.lease_expires_at, _seconds_left(run, now))
    process = (wish.executor, wish.session)
    out = executors.out_of_service(connection, [process]).get(process, full)
    gate = _gate(run, paused=paused, brought_input=wish.input is not None, serving=out is None)
    if gate is None and run.concurrency_key is not None:
        key = (run.queue, run.concurrency_key)
        standing = gates.standing(connection, run.id, key)
        if standing.is_gated:
            raise _key_is_full(run, key, standing)
    if gate is None and allowances.of(run.step_queue, 1) == 0:
        raise _queue_is_full(run, allowances)
    if gate is None:
        if run.step_queue in limits.limited_among(connection, [run.step_queue]):
            known.note(run.step_queue)
        raise _TryAgain
    why = f"{wish.executor} is {out.state}. {out.reason or ''}".rstrip() if out else ""
    raise RunNotClaimable(
        run.id, run.run_state, gate, why if gate == Gate.EXECUTOR_NOT_SERVING else _WHY[gate]
    )


def _require_place(connection: Connection, run: Run) -> None:
    """
    See that a waiting run, which goes straight to its holder, finds a place of its key.

    Raises:
        RunNotClaimable: All are taken.
    """
    if run.concurrency_key is None or run.run_state != RunState.WAITING:
        return
    key = (run.queue, run.concurrency_key)
    gates.hold(connection, run.id, key)
    standing = gates.standing(connection, run.id, key)
    if standing.taken >= standing.allowed:
        raise _key_is_full(run, key, standing)


def _key_is_full(run: Run, key: Key, standing: Standing) -> RunNotClaimable:
    return RunNotClaimable(run.id, run.run_state, Gate.LIMIT, full_key(key, standing))


def _queue_is_full(run: Run, allowances: Allowances) -> RunNotClaimable:
    freeing = allowances.freeing().get(run.step_queue)
    return RunNotClaimable(
        run.id,
        run.run_state,
        Gate.LIMIT,
        f"queue {run.step_queue} allows no more leases now.",
        retry_after_seconds=freeing.after_seconds if freeing else None,
    )


def _gate(run: Run, *, paused: bool, brought_input: bool, serving: bool) -> Gate | None:
    """The first gate that is shut, or None when the run is claimable now."""
    if run.run_state == RunState.SCHEDULED:
        return Gate.DUE_TIME
    if run.run_state == RunState.WAITING and run.waiting_reason == WaitingReason.OUTCOME_UNKNOWN:
        return Gate.OUTCOME_UNKNOWN
    if run.run_state == RunState.WAITING and not brought_input:
        return Gate.NEEDS_INPUT
    if paused:
        return Gate.QUEUE_PAUSED
    if not serving:
        return Gate.EXECUTOR_NOT_SERVING
    # Pending; or waiting again, for something else than this input answers.
    return Gate.NOT_WAITING if brought_input else None


def _seconds_left(run: Run, now: datetime) -> float:
    expires_at = run.lease_expires_at or datetime.now(UTC)
    return max(1.0, (expires_at - now).total_seconds())

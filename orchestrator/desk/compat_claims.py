"""Claims of the adapter's executors: by a poll, and of one run by its number.

The claims are those of any executor. What is added is said of the runs that they gave:
to whom they were handed, what they are called there, and for how long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
from sqlalchemy import Connection

from orchestrator.desk import run_claims
from orchestrator.desk.claim_desk import ClaimDesk
from orchestrator.desk.compat_executors import Arrival, Asker, arrive
from orchestrator.desk.compat_steps import gives_a_sign, step_definition
from orchestrator.desk.visibility import visible_run
from orchestrator.desk.wishes import Wish
from orchestrator.errors import (
    LeaseLost,
    RunHeld,
    RunNotClaimable,
    RunNotFound,
    RunOver,
    ValidationFailed,
)
from orchestrator.lifecycle import RunState, WaitingReason
from orchestrator.store import compat_runs
from orchestrator.store.claims import RunWish
from orchestrator.store.compat_leases import FIRST_SIGN_SECONDS
from orchestrator.store.compat_runs import Length, PastStep
from orchestrator.store.engine import Database
from orchestrator.store.records import Dispatch, Json, Run, text_of
from orchestrator.store.transaction import transact

# A step that says nothing of its time has so long, and its report so long to arrive: four
# tries, ten seconds each, and the pauses between them.
STEP_SECONDS: Final = 300
REPORT_SECONDS: Final = 45
MOST_PAST_STEPS: Final = 200

# What resumes a run that waits for input there: the input itself stays with the executor.
_NO_INPUT: Final = "null"
_NOBODY_REPEATS: Final = b"\0" * 32


@dataclass(frozen=True, slots=True)
class Handed:
    """A run as one of the adapter's executors gets it: its number, and the steps before."""

    number: int
    dispatch: Dispatch
    past: Sequence[PastStep]


@dataclass(frozen=True, slots=True)
class RunName:
    """A run as it is named from outside: by its number, or by its id."""

    number: int | None = None
    run_id: UUID | None = None


def poll(
    database: Database, claim_desk: ClaimDesk, asker: Asker, *, limit: int
) -> Sequence[Handed]:
    """Lease up to so many runs, after what the executor has dropped was ended."""
    arrived = arrive(database, asker, Arrival.POLLS)
    if arrived is None:
        return []
    session, queues = arrived
    if not queues:
        return []
    got = claim_desk.claim(
        Wish(
            token_name=asker.name,
            key_id=asker.key_id,
            executor=asker.name,
            session=session,
            request_id=uuid4(),
            body_hash=_NOBODY_REPEATS,
            queues=queues,
            limit=limit,
            lease_seconds=FIRST_SIGN_SECONDS,
            wait_seconds=0,
        )
    )
    return _handed(database, asker, got.dispatches, polled=True) if got.dispatches else []


def claim(database: Database, asker: Asker, named: RunName) -> Handed | None:
    """
    Lease one run, also one that waits for input: that never comes here.

    Returns:
        None when it cannot be had now, whatever the reason.
    """
    arrived = arrive(database, asker, Arrival.ASKS_FOR_A_RUN)
    if arrived is None:
        return None
    session, _ = arrived
    try:
        run = find(database, asker.queues, named)
        waits = (run.run_state, run.waiting_reason) == (RunState.WAITING, WaitingReason.INPUT)
        dispatch, _ = run_claims.claim_run(
            database,
            RunWish(
                request_id=uuid4(),
                token_name=asker.name,
                executor=asker.name,
                session=session,
                lease_seconds=FIRST_SIGN_SECONDS,
                run_id=run.id,
                input=_NO_INPUT if waits else None,
            ),
            body_hash=_NOBODY_REPEATS,
            queue_patterns=asker.queues,
            step_queue_patterns=asker.queues,
        )
    except (RunNotFound, RunHeld, RunNotClaimable, RunOver, LeaseLost, ValidationFailed):
        return None
    return next(iter(_handed(database, asker, [dispatch], polled=False)), None)


def find(database: Database, queue_patterns: tuple[str, ...], named: RunName) -> Run:
    """
    A run of these queues by its name.

    Raises:
        RunNotFound: There is no such run, or it is of another queue.
    """

    def look(connection: Connection) -> Run:
        run_id = named.run_id
        if named.number is not None:
            run_id = compat_runs.run_id_of(connection, named.number)
        if run_id is None:
            raise RunNotFound
        return visible_run(connection, run_id, queue_patterns)

    return transact(database.work, look)


def go_on(database: Database, number: int, dispatch: Dispatch, *, anew: bool) -> Handed:
    """
    Hand the next step over, under the lease of the one before.

    Args:
        anew: Whether it was not handed over before; then a first sign of it is expected.
    """

    def say(connection: Connection) -> Handed:
        if anew:
            compat_runs.set_lengths(connection, [_length(dispatch, _first_seconds(dispatch))])
        return Handed(number, dispatch, _past(connection, [dispatch]).get(dispatch.run.id, ()))

    return transact(database.leases, say)


def long_seconds(timeout_seconds: float | None) -> int:
    """How long a lease lasts from a sign of life on, when nobody can renew it."""
    return math.ceil(timeout_seconds or STEP_SECONDS) + REPORT_SECONDS


def members_of(params: Json | None) -> dict[str, Any]:
    """A jsonb object's members; of anything else there are none."""
    read = None if params is None else orjson.loads(text_of(params))
    return read if isinstance(read, dict) else {}


def _handed(
    database: Database, asker: Asker, dispatches: Sequence[Dispatch], *, polled: bool
) -> list[Handed]:
    slow = [
        _length(each, seconds)
        for each in dispatches
        if (seconds := _first_seconds(each)) != FIRST_SIGN_SECONDS
    ]

    def note(connection: Connection) -> list[Handed]:
        numbers = compat_runs.hand_over(
            connection,
            [(each.run.id, each.lease.id) for each in dispatches],
            key_id=asker.key_id,
            address=asker.address,
            polled=polled,
        )
        if slow:
            compat_runs.set_lengths(connection, slow)
        past = _past(connection, dispatches)
        return [
            Handed(numbers[each.run.id], each, past.get(each.run.id, ()))
            for each in dispatches
            if each.run.id in numbers
        ]

    return transact(database.work, note)


def _past(connection: Connection, dispatches: Sequence[Dispatch]) -> dict[UUID, list[PastStep]]:
    later = [each.run.id for each in dispatches if each.run.step_index > 0]
    return compat_runs.past_steps(connection, later, most=MOST_PAST_STEPS) if later else {}


def _first_seconds(dispatch: Dispatch) -> int:
    """How long a lease lasts until its holder has given a sign of life under it."""
    run = dispatch.run
    definition = step_definition(run.step_name, run.step_type, members_of(dispatch.params))
    if gives_a_sign(definition):
        return FIRST_SIGN_SECONDS
    return long_seconds(dispatch.timeout_seconds)


def _length(dispatch: Dispatch, seconds: int) -> Length:
    return Length(dispatch.run.id, dispatch.lease.id, seconds)

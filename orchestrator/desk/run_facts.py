"""What is known of why a run does not execute now: it and its surroundings, at one moment.

Whoever may see a run is told of the queue that its step is claimed from only when his token
is for that queue too, and by name of executors only what he may see elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.desk.visibility import visible_run
from orchestrator.errors import RunNotFound
from orchestrator.lifecycle import EVERY_QUEUE, LEASED, OVER, covers
from orchestrator.store import activity, explain, gates, limits
from orchestrator.store.activity import MINUTE, Counted
from orchestrator.store.explain import Group, Leased, Surroundings
from orchestrator.store.gates import Standing
from orchestrator.store.limits import Limits
from orchestrator.store.records import Run

# The last one of them is not over.
_MINUTES_LOOKED_BACK = 6


@dataclass(frozen=True, slots=True)
class Onlooker:
    """
    Who asks.

    Attributes:
        queue_patterns: Whose runs he may see.
        sees_executors: He may list them.
    """

    queue_patterns: tuple[str, ...]
    sees_executors: bool


@dataclass(frozen=True, slots=True)
class StepQueue:
    """
    The queue that a run's step is claimed from.

    Attributes:
        limits: None when it has none.
        leased: None when its leases are not limited.
        groups: Who is registered for it.
        is_covered: The onlooker may see its runs.
        claimed: How many runs were claimed from it in the last `claimed_seconds`.
    """

    limits: Limits | None
    leased: Leased | None
    groups: tuple[Group, ...]
    is_covered: bool
    claimed: int
    claimed_seconds: float


@dataclass(frozen=True, slots=True)
class RunFacts:
    """
    A run and its surroundings.

    Attributes:
        queue: None of a run that is over or held.
        standing: How it stands with its concurrencyKey; None when it has none.
        ahead: How many come before it, counted to `explain.COUNTED_AHEAD`; None when it is
            not pending.
    """

    run: Run
    around: Surroundings
    queue: StepQueue | None = None
    standing: Standing | None = None
    ahead: int | None = None


def facts_of(connection: Connection, run_id: UUID, onlooker: Onlooker) -> RunFacts:
    """
    The facts of one moment; nothing may have been read in this transaction before.

    Raises:
        RunNotFound: There is no such run among the onlooker's queues.
    """
    explain.see_one_moment(connection)
    run = visible_run(connection, run_id, onlooker.queue_patterns)
    around = explain.surroundings(connection, run.id)
    if around is None:
        raise RunNotFound
    if run.run_state in OVER or run.run_state in LEASED:
        return RunFacts(run, around)
    standing = None
    if run.concurrency_key is not None:
        standing = gates.standing(connection, run.id, (run.queue, run.concurrency_key))
    return RunFacts(
        run,
        around,
        queue=_step_queue(connection, run, around.now, onlooker),
        standing=standing,
        ahead=explain.runs_ahead(connection, run.id),
    )


def _step_queue(connection: Connection, run: Run, now: datetime, onlooker: Onlooker) -> StepQueue:
    is_covered = covers(onlooker.queue_patterns, run.step_queue)
    seen = limits.look(connection, run.step_queue)
    leased = None
    if seen is not None and seen.max_concurrency is not None:
        leased = explain.leased_from(connection, run.step_queue)
        told = (each for each in leased.holders if covers(onlooker.queue_patterns, each.queue))
        leased = replace(leased, holders=tuple(told))
    groups = explain.groups_polling(connection, run.step_queue, step_type=run.step_type)
    if not onlooker.sees_executors:
        groups = [replace(group, names=()) for group in groups]
    lately = activity.series(
        connection,
        span_seconds=MINUTE,
        points=_MINUTES_LOOKED_BACK,
        queue_patterns=(EVERY_QUEUE,),
        queue=run.step_queue,
    )
    return StepQueue(
        seen,
        leased,
        tuple(groups),
        is_covered,
        claimed=sum(point.numbers[Counted.CLAIMED] for point in lately),
        claimed_seconds=(now - lately[0].began_at).total_seconds(),
    )

"""Runs, sought by more than an index knows: stretch by stretch, none longer than is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    func,
    select,
    tuple_,
    union_all,
)

from orchestrator.lifecycle import EVERY_QUEUE, LEASED, OVER, RunState, covers
from orchestrator.store.run_filter import FILTERED, RunFilter, matching
from orchestrator.store.sql import text
from orchestrator.store.tables import workflow_runs

# The states of the index "workflowRuns_attention", which has them in the order of their ids.
ATTENTION = frozenset({RunState.WAITING, RunState.FAILED, RunState.ABORTED})
# All of these are in one index or another; of runs that are finished there is none.
INDEXED = frozenset(RunState) - {RunState.FINISHED}
# Before it are all runs.
EVERY_RUN = UUID(int=2**128 - 1)
# Who may see no more queues than these, each by its name, is spared the runs of all others.
MOST_QUEUES = 3
# So many pairs of a queue and a workflow are looked at for a dedupKey.
MOST_PAIRS = 1_000

_LIVE = ", ".join(f"'{state}'" for state in RunState if state not in OVER)


@dataclass(frozen=True, slots=True)
class Scanned:
    """
    A stretch of the runs, from the newest down.

    Attributes:
        run_ids: Those that match, the newest first.
        reached: The last run that was looked at; None when there was none.
        looked_at: How many were; fewer than was asked for when it was the last stretch.
    """

    run_ids: Sequence[UUID]
    reached: UUID | None
    looked_at: int


@dataclass(frozen=True, slots=True)
class RunLine:
    """
    A run as a list shows it, without its payloads.

    Attributes:
        gated: It has no place of its concurrencyKey.
        error_code: Why it failed, or its step's last failure.
    """

    id: UUID
    workflow: str
    queue: str
    run_state: str
    waiting_reason: str | None
    gated: bool
    step_index: int
    step_name: str
    attempt: int
    locked_by: str | None
    lease_expires_at: datetime | None
    available_at: datetime | None
    abort_requested_at: datetime | None
    error_code: str | None
    created_at: datetime
    finished_at: datetime | None


def scan_runs(
    connection: Connection,
    *,
    queue_patterns: Sequence[str],
    wanted: RunFilter,
    before: UUID,
    limit: int,
    most_found: int | None = None,
) -> Scanned:
    """
    The runs that `list_runs` would list among the next so many below an id.

    Reads a few times `limit` rows at most, however few of them match; a list may read the
    whole table before it finds the first. For transactions that walk indexes
    (`census.walk_indexes`): a bitmap or a look through the table knows no limit. A queue that
    is not covered is as one that is not there: nothing of it is looked at, nor said.

    Args:
        most_found: Of those that match, no more than the first so many are returned.
    """
    if wanted.queue is not None and not covers(tuple(queue_patterns), wanted.queue):
        return Scanned([], None, 0)
    scanned = _next_runs(wanted, queue_patterns, before, limit)
    ids = (
        select(scanned.c.id)
        .where(matching(scanned.c, queue_patterns, wanted))
        .order_by(scanned.c.id.desc())
        .limit(most_found)
    )
    reached = select(scanned.c.id).order_by(scanned.c.id).limit(1)
    row = connection.execute(
        select(
            func.array(ids.scalar_subquery()).label("run_ids"),
            reached.scalar_subquery().label("reached"),
            select(func.count()).select_from(scanned).scalar_subquery().label("looked_at"),
        )
    ).one()
    return Scanned(row.run_ids, row.reached, row.looked_at)


def find_by_word(connection: Connection, word: str, *, limit: int) -> list[UUID]:
    """
    What indexes know of a word: live runs with this dedupKey, runs whose holder has this
    name, and the newest of the queue; of each so many at most.
    """
    # Pairs are found by jumping along the index from one to the next. For the queue see
    # `_newest_of_queue`.
    rows = connection.execute(
        text(f"""
WITH RECURSIVE pairs AS (
  (SELECT queue, workflow, 1 AS number FROM "workflowRuns"
    WHERE "dedupKey" IS NOT NULL AND "runState" IN ({_LIVE}) ORDER BY queue, workflow LIMIT 1)
  UNION ALL
  SELECT n.queue, n.workflow, p.number + 1 FROM pairs p CROSS JOIN LATERAL (
    SELECT r.queue, r.workflow FROM "workflowRuns" r
     WHERE r."dedupKey" IS NOT NULL AND r."runState" IN ({_LIVE})
       AND (r.queue, r.workflow) > (p.queue, p.workflow)
     ORDER BY r.queue, r.workflow LIMIT 1) n
   WHERE p.number < {MOST_PAIRS})
(SELECT r.id FROM pairs p JOIN "workflowRuns" r
     ON r.queue = p.queue AND r.workflow = p.workflow AND r."dedupKey" = :word
    AND r."runState" IN ({_LIVE}) LIMIT :limit)
UNION (SELECT r.id FROM "workflowRuns" r
        WHERE r."leaseId" IS NOT NULL AND r."lockedBy" = :word LIMIT :limit)
UNION (SELECT r.id FROM "workflowRuns" r
        WHERE (r.queue, r.id) <= (:word, CAST(:last AS uuid)) AND r.queue >= :word
        ORDER BY r.queue DESC, r.id DESC LIMIT :limit)
"""),
        {"word": word, "last": EVERY_RUN, "limit": limit},
    )
    return list(rows.scalars())


def find_in_states(
    connection: Connection,
    *,
    queue_patterns: Sequence[str],
    wanted: RunFilter,
    reach: int,
    limit: int,
) -> list[UUID]:
    """
    Some of the runs that match, the newest first, of those that the indexes of their states
    lead to first: the next to be claimed, of pending ones.

    Args:
        wanted: Its states are of `INDEXED`.
        reach: So many of each state are looked at.
    """
    some = union_all(*_of_each(wanted.states, reach)).subquery("some")
    return list(
        connection.execute(
            select(some.c.id)
            .where(matching(some.c, queue_patterns, wanted))
            .order_by(some.c.id.desc())
            .limit(limit)
        ).scalars()
    )


def lines_of(connection: Connection, run_ids: Sequence[UUID]) -> list[RunLine]:
    """These runs, the newest first."""
    rows = connection.execute(
        text("""
SELECT r.id, r.workflow, r.queue, r."runState" AS run_state,
       r."waitingFor"->>'reason' AS waiting_reason,
       r."gatedClaimKey" IS NOT NULL AS gated, r."stepIndex" AS step_index,
       r."stepName" AS step_name, r.attempt, r."lockedBy" AS locked_by,
       r."leaseExpiresAt" AS lease_expires_at, r."availableAt" AS available_at,
       r."abortRequestedAt" AS abort_requested_at, r.error->>'code' AS error_code,
       r."createdAt" AS created_at, r."finishedAt" AS finished_at
  FROM "workflowRuns" r WHERE r.id = ANY (CAST(:run_ids AS uuid[])) ORDER BY r.id DESC
"""),
        {"run_ids": list(run_ids)},
    )
    return [RunLine(**row._mapping) for row in rows]  # noqa: SLF001


def _next_runs(wanted: RunFilter, queue_patterns: Sequence[str], before: UUID, limit: int) -> CTE:
    """The next runs below an id, of those that an index gives one after another."""
    columns = workflow_runs.c
    states = wanted.states or ((RunState.WAITING,) if wanted.waiting_reason else ())
    if wanted.executor is not None:
        states = tuple(sorted(LEASED))
    if wanted.ids:
        stretches = [_newest(before, limit, columns.id.in_(wanted.ids))]
    elif states and ATTENTION.issuperset(states):
        stretches = [_newest(before, limit, columns.run_state == _literal(s)) for s in states]
    elif queues := _only_queues(wanted, queue_patterns):
        stretches = [_newest_of_queue(queue, before, limit) for queue in queues]
    else:
        stretches = [_newest(before, limit)]
    if states and INDEXED.issuperset(states) and not ATTENTION.issuperset(states):
        stretches = _few_or_else(states, before, limit, stretches)
    each = union_all(*stretches).subquery("stretches")
    return select(each).order_by(each.c.id.desc()).limit(limit).cte("scanned")


def _only_queues(wanted: RunFilter, queue_patterns: Sequence[str]) -> Sequence[str]:
    """The few queues that alone may have what is sought; none when they are not known by name."""
    if wanted.queue is not None:
        return [wanted.queue]
    are_names = not any(each == EVERY_QUEUE or each.endswith(".*") for each in queue_patterns)
    names = tuple(dict.fromkeys(queue_patterns))
    return names if are_names and len(names) <= MOST_QUEUES else ()


def _newest(before: UUID, limit: int, *conditions: ColumnElement[bool]) -> Select[tuple[UUID]]:
    columns = workflow_runs.c
    return (
        select(*(columns[name].label(name) for name in FILTERED))
        .where(*conditions, columns.id < before)
        .order_by(columns.id.desc())
        .limit(limit)
    )


def _newest_of_queue(queue: str, before: UUID, limit: int) -> Select[tuple[UUID]]:
    # Of a queue that is a large part of all runs the planner expects some everywhere. Told
    # `queue = …` it would walk along the ids, through as many newer runs of others as there are.
    columns = workflow_runs.c
    return (
        select(*(columns[name].label(name) for name in FILTERED))
        .where(
            tuple_(columns.queue, columns.id) < tuple_(queue, before),
            columns.queue >= queue,
        )
        .order_by(columns.queue.desc(), columns.id.desc())
        .limit(limit)
    )


def _few_or_else(
    states: Sequence[str], before: UUID, limit: int, otherwise: Sequence[Select[tuple[UUID]]]
) -> list[Select[tuple[UUID]]]:
    """
    All runs of these states when they are no more than the limit; else what else there is.

    Otherwise a few of them below many others would not be found for a long time.
    """
    few = select(union_all(*_of_each(states, limit + 1)).subquery("few_of_each")).cte("few")
    number = select(func.count()).select_from(few).scalar_subquery()
    each = union_all(*otherwise).subquery("otherwise")
    return [
        select(few).where(few.c.id < before, number <= limit),
        select(each).where(number > limit),
    ]


def _of_each(states: Sequence[str], limit: int) -> list[Select[tuple[UUID]]]:
    columns = workflow_runs.c
    return [
        select(*(columns[name].label(name) for name in FILTERED))
        .where(columns.run_state == _literal(state), *_leased_if(state))
        .limit(limit)
        for state in states
    ]


def _leased_if(state: str) -> tuple[ColumnElement[bool], ...]:
    return (workflow_runs.c.lease_id.is_not(None),) if state in LEASED else ()


def _literal(state: str) -> ColumnElement[str]:
    # Written out: to a parameter the planner offers no partial index.
    return bindparam(None, state, literal_execute=True)

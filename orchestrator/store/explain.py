"""What is read of a run and of what stands around it to say why it does not execute now.

Nothing is locked or written, and each statement costs the same however long the backlog
is: single rows, the registry, the leases there are, a walk of bounded length.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.lifecycle import ActKind, RunState
from orchestrator.store.records import Json
from orchestrator.store.serving import SERVING_SECONDS
from orchestrator.store.sql import text

# Runs before one are counted as far as this.
COUNTED_AHEAD = 10_000
# Who paused a queue is looked for among so many of the last acts.
_ACTS_LOOKED_THROUGH = 1_000
# Of those who hold leases of a queue so many are told apart, the busiest first.
_HOLDERS_TOLD_APART = 100
_NAMES = 3

_LATELY = f"clock_timestamp() - interval '{SERVING_SECONDS} seconds'"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What single rows say around a run.

    Attributes:
        now: The database's clock.
        event, event_at, event_detail: Its last one, which made it what it is.
        max_failures: The budget that counts: its step's, else its own.
        releases: How often it was given back in a row, other than draining.
        lease_seconds: Of its lease, if it is held.
        last_tick_at: When a keeper last ticked.
        amnesty_since: When ticks began again after a gap.
        is_paused: The queue that its step is claimed from is.
        queue_changed_by: Who last changed that queue in any way, and when.
        paused_by: Whose act it was, if it is among the last ones.
    """

    now: datetime
    event: str
    event_at: datetime
    event_detail: Json
    max_failures: int
    releases: int
    lease_seconds: int | None
    last_tick_at: datetime | None
    amnesty_since: datetime | None
    is_paused: bool
    queue_changed_by: str | None
    queue_changed_at: datetime | None
    paused_by: str | None
    paused_at: datetime | None


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds leases of runs that were claimed from a queue and belong to this one."""

    executor: str
    queue: str
    leases: int


@dataclass(frozen=True, slots=True)
class Leased:
    """The leases of runs that were claimed from a queue: how many, and by whom, the most first."""

    leases: int
    holders: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """
    Sessions of executors that may poll a queue, alike in what they would do with a run.

    Attributes:
        standing: `serving`; or why they are not: `draining`, `quarantined`, `unseen` for a
            while, `other-types` than the step's, or `silent` on which queues they poll.
        names: Some of them, the last seen first.
        seen_at: When the last of them was.
        slots: Of those that say how many they have.
        free: How many of these are not taken.
        unsaid: How many do not say.
    """

    standing: str
    executors: int
    names: tuple[str, ...]
    seen_at: datetime
    slots: int
    free: int
    unsaid: int


def see_one_moment(connection: Connection) -> None:
    """Let all that this transaction reads be of one moment; before its first statement."""
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def surroundings(connection: Connection, run_id: UUID) -> Surroundings | None:
    """What single rows say around a run; None when there is no such run."""
    row = connection.execute(
        text(f"""
SELECT clock_timestamp() AS now, e.kind AS event, e.at AS event_at, e.detail AS event_detail,
       coalesce((w.steps->r."stepName"->'retry'->>'maxFailures')::integer, r."maxFailures")
         AS max_failures, r.releases,
       r."leaseSeconds" AS lease_seconds, k."lastTickAt" AS last_tick_at,
       k."amnestySince" AS amnesty_since, coalesce(q.paused, false) AS is_paused,
       q."changedBy" AS queue_changed_by, q."changedAt" AS queue_changed_at,
       p.actor AS paused_by, p.at AS paused_at
  FROM "workflowRuns" r CROSS JOIN keeper k
  JOIN "runEvents" e ON e."runId" = r.id AND e.seq = r.version
  LEFT JOIN workflows w ON w.name = r.workflow AND w.version = r."workflowVersion"
  LEFT JOIN queues q ON q.name = r."stepQueue"
  LEFT JOIN LATERAL (
    SELECT a.actor, a.at
      FROM (SELECT * FROM "operatorActs" ORDER BY id DESC LIMIT {_ACTS_LOOKED_THROUGH}) a
     WHERE a.kind = '{ActKind.PAUSE_QUEUE}' AND a.subject = q.name
     ORDER BY a.id DESC LIMIT 1) p ON q.paused
 WHERE r.id = :run_id
"""),
        {"run_id": run_id},
    ).one_or_none()
    return None if row is None else Surroundings(**row._mapping)  # noqa: SLF001


def leased_from(connection: Connection, queue: str) -> Leased:
    """Who holds the leases of runs that were claimed from a queue."""
    rows = connection.execute(
        text(f"""
SELECT r."lockedBy", r.queue, count(*), sum(count(*)) OVER ()::bigint
  FROM "workflowRuns" r
 WHERE r."leaseId" IS NOT NULL AND r."stepQueue" = :queue
 GROUP BY r."lockedBy", r.queue
 ORDER BY count(*) DESC, r."lockedBy", r.queue LIMIT {_HOLDERS_TOLD_APART}
"""),
        {"queue": queue},
    ).all()
    return Leased(rows[0][3] if rows else 0, tuple(Holder(*row[:3]) for row in rows))


def groups_polling(connection: Connection, queue: str, *, step_type: str) -> list[Group]:
    """
    Who is registered for a queue, or for none by name, in groups.

    An executor that does not say which step types it has handlers for may have them all.
    """
    rows = connection.execute(
        text(f"""
WITH polling AS (
  SELECT e.*, CASE
      WHEN NOT e."seenAt" > {_LATELY} THEN 'unseen'
      WHEN e.state <> 'active' THEN e.state
      WHEN e.queues = '{{}}' THEN 'silent'
      WHEN e."stepTypes" = '{{}}' OR :step_type = ANY (e."stepTypes") THEN 'serving'
      ELSE 'other-types' END AS standing
    FROM executors e
   WHERE :queue = ANY (e.queues)
      OR (e.queues = '{{}}' AND e.state = 'active' AND e."seenAt" > {_LATELY})),
held AS (
  SELECT p.*, CASE WHEN p.standing = 'serving' THEN (
      SELECT count(*) FROM "workflowRuns" r
       WHERE r."leaseId" IS NOT NULL AND r."lockedSession" = p.session
         AND r."lockedBy" = p."fullName") END AS leases
    FROM polling p)
SELECT h.standing, count(*),
       (array_agg(h."fullName" ORDER BY h."seenAt" DESC, h."fullName"))[1:{_NAMES}],
       max(h."seenAt"), coalesce(sum(h.slots), 0),
       coalesce(sum(greatest(h.slots - h.leases, 0)), 0)::bigint,
       count(*) FILTER (WHERE h.slots IS NULL)
  FROM held h GROUP BY h.standing ORDER BY h.standing
"""),
        {"queue": queue, "step_type": step_type},
    )
    return [
        Group(standing, executors, tuple(names), seen_at, slots, free, unsaid)
        for standing, executors, names, seen_at, slots, free, unsaid in rows
    ]


def runs_ahead(connection: Connection, run_id: UUID) -> int | None:
    """
    How many runs are to be claimed before this one, counted to `COUNTED_AHEAD`.

    Of one that is gated: how many of its key are to be let in before it. None when it is
    not pending.
    """
    # Both in the order of their index: what is counted is the beginning of a walk. The
    # columns of the run come as they are, for Python knows no infinity among times.
    ahead: int | None = connection.execute(
        text(f"""
SELECT CASE WHEN r."gatedClaimKey" IS NULL THEN (
         SELECT count(*) FROM (
           SELECT FROM "workflowRuns" a
            WHERE a."stepQueue" = r."stepQueue" AND a."runState" = '{RunState.PENDING}'
              AND (a."claimKey", a.id) < (r."claimKey", r.id)
            ORDER BY a."claimKey", a.id LIMIT {COUNTED_AHEAD}) before)
       ELSE (
         SELECT count(*) FROM (
           SELECT FROM "workflowRuns" a
            WHERE a.queue = r.queue AND a."concurrencyKey" = r."concurrencyKey"
              AND a."runState" IN ('{RunState.PENDING}', '{RunState.LOADING}',
                                   '{RunState.STARTED}')
              AND (a."gatedClaimKey", a.id) < (r."gatedClaimKey", r.id)
            ORDER BY a."gatedClaimKey" NULLS FIRST, a.id LIMIT {COUNTED_AHEAD}) before) END
  FROM "workflowRuns" r WHERE r.id = :run_id AND r."runState" = '{RunState.PENDING}'
"""),
        {"run_id": run_id},
    ).scalar_one_or_none()
    return ahead

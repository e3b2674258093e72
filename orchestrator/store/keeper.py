"""What the keeper writes besides expired leases: its tick, due runs, timed-out waits, pruning."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.lifecycle import PRIORITY_SECONDS, Failure, RunState
from orchestrator.store.sql import text
from orchestrator.store.verdict import FRESH_CLAIM_KEY

ADVISORY_LOCK = 0x6B656570  # "keep"
# A gap in the ticks longer than this, or a negative one, was an outage.
GAP_SECONDS = 5
# So long after a gap every tick looks for times that a clock's step back left too
# far ahead: longer than any row is locked, and than a killed keeper is missed.
AFTERMATH_SECONDS = 10

# Read once, the clock bounds the walk along an index. Compared as it is it would be read
# for every entry: 127 ms of each tick for 100,000 scheduled runs of which none is due.
_NOW = "(SELECT clock_timestamp())"


@dataclass(frozen=True, slots=True)
class Tick:
    """
    One beat of the keeper.

    Attributes:
        amnesty_began: It ended a gap.
        in_aftermath: It, or one a few seconds ago, ended a gap.
        prune_is_due: A page of old runs is to go now.
        pruned_through: How far the present pass has come; None when one begins.
    """

    at: datetime
    amnesty_began: bool
    in_aftermath: bool
    prune_is_due: bool
    pruned_through: UUID | None


@dataclass(frozen=True, slots=True)
class Duties:
    """
    What is to be done at this moment.

    Attributes:
        expire: A lease has run out; whether it may be taken is for `endings.expire` to say.
        make_due: A scheduled run's time has come.
        time_out_waits: A wait's has.
        fire: A schedule's has.
    """

    expire: bool
    make_due: bool
    time_out_waits: bool
    fire: bool


@dataclass(frozen=True, slots=True)
class Pruned:
    """
    One page of a pass over the old runs.

    Attributes:
        runs: How many of them went.
        through: The last run that was looked at.
        is_last: No run that may be old enough comes after it.
    """

    runs: int
    through: UUID | None
    is_last: bool


@dataclass(frozen=True, slots=True)
class Moved:
    """A run that the keeper moved because its time had come."""

    run_id: UUID
    run_state: str
    queue: str
    step_queue: str
    concurrency_key: str | None


def take_turn(connection: Connection) -> bool:
    """Whether this process is the keeper until its transaction ends; never waits."""
    return bool(
        connection.execute(
            text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK}
        ).scalar_one()
    )


def tick(
    connection: Connection, *, every_seconds: float, prune_every_seconds: float
) -> Tick | None:
    """
    Note that the keeper is awake; after a gap also since when.

    The first tick of a database ends no gap: nothing was leased before it.

    A crash may lose the last ticks (they are committed asynchronously); that
    only makes the next gap look longer.

    Args:
        prune_every_seconds: Whoever is told that pruning is due may do it; nobody else
            is told so until that has passed, or until `note_pruning` says when.

    Returns:
        None when another process ticked less than `every_seconds` ago.
    """
    connection.execute(text("SET LOCAL synchronous_commit = off"))
    row = connection.execute(
        text("""
UPDATE keeper k SET "lastTickAt" = n.now,
    "amnestySince" = CASE WHEN n.gap THEN n.now ELSE k."amnestySince" END,
    "prunedAt" = CASE WHEN n.prune THEN n.now ELSE k."prunedAt" END,
    "pruneRestSeconds" = CASE WHEN n.prune THEN :prune_every_seconds
                         ELSE k."pruneRestSeconds" END
  FROM (SELECT now, "lastTickAt",
               coalesce(now - "lastTickAt" > make_interval(secs => :gap_seconds)
                        OR now < "lastTickAt", false) AS gap,
               coalesce(now - "prunedAt" > make_interval(secs => "pruneRestSeconds")
                        OR now < "prunedAt", true) AS prune
          FROM keeper, clock_timestamp() AS now FOR UPDATE OF keeper) n
 WHERE n.gap OR n."lastTickAt" IS NULL
    OR n.now - n."lastTickAt" >= make_interval(secs => :every_seconds)
RETURNING n.now, n.gap, n.prune, k."prunedThrough",
    coalesce(k."amnestySince" > n.now - make_interval(secs => :aftermath_seconds), false)
      AS aftermath
"""),
        {
            "gap_seconds": GAP_SECONDS,
            "aftermath_seconds": AFTERMATH_SECONDS,
            "every_seconds": every_seconds,
            "prune_every_seconds": prune_every_seconds,
        },
    ).one_or_none()
    if row is None:
        return None
    return Tick(row.now, row.gap, row.aftermath, row.prune, row.prunedThrough)


def duties(connection: Connection) -> Duties:
    """Look for all that the clock brings in one statement: at most ticks it brings nothing."""
    # The first of each, by its index: whether some have come, a plan would find out by
    # reading the table, for it expects that a third have.
    row = connection.execute(
        text(f"""
SELECT coalesce(l.first < n.now, false), coalesce(d.first <= n.now, false),
       coalesce(w.first <= n.now, false), coalesce(s.first <= n.now, false)
  FROM clock_timestamp() AS n(now),
       (SELECT min("leaseExpiresAt") AS first FROM "workflowRuns"
         WHERE "leaseId" IS NOT NULL) l,
       (SELECT min("availableAt") AS first FROM "workflowRuns"
         WHERE "runState" = '{RunState.SCHEDULED}') d,
       (SELECT min("availableAt") AS first FROM "workflowRuns"
         WHERE "runState" = '{RunState.WAITING}' AND "availableAt" IS NOT NULL) w,
       (SELECT min("nextAt") AS first FROM schedules WHERE NOT paused) s
""")
    ).one()
    return Duties(*row)


def make_due(connection: Connection, *, limit: int, only: UUID | None = None) -> list[Moved]:
    """Make scheduled runs pending whose time has come."""
    rows = connection.execute(
        text(f"""
WITH due AS MATERIALIZED (
  SELECT r.id FROM "workflowRuns" r
   WHERE r."runState" = '{RunState.SCHEDULED}' AND r."availableAt" <= {_NOW}
     AND (CAST(:only AS uuid) IS NULL OR r.id = :only)
   ORDER BY r."availableAt" LIMIT :limit FOR UPDATE OF r SKIP LOCKED),
moved AS (
  UPDATE "workflowRuns" r SET "runState" = '{RunState.PENDING}',
      "claimKey" = r."availableAt" - make_interval(secs => r.priority * {PRIORITY_SECONDS}),
      version = r.version + 1
    FROM due d WHERE r.id = d.id AND r."runState" = '{RunState.SCHEDULED}'
  RETURNING r.*),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", detail)
  SELECT id, version, 'due', clock_timestamp(), '{RunState.SCHEDULED}', "runState", '{{}}'
    FROM moved)
SELECT id AS run_id, "runState" AS run_state, queue, "stepQueue" AS step_queue,
       "concurrencyKey" AS concurrency_key
  FROM moved
"""),
        {"limit": limit, "only": only},
    )
    return [Moved(**row._mapping) for row in rows]  # noqa: SLF001


def due_run_ids(connection: Connection, *, limit: int) -> list[UUID]:
    """Scheduled runs whose time has come, without locking them; `make_due` decides again."""
    return list(
        connection.execute(
            text(f"""
SELECT id FROM "workflowRuns"
 WHERE "runState" = '{RunState.SCHEDULED}' AND "availableAt" <= {_NOW}
 ORDER BY "availableAt" LIMIT :limit
"""),
            {"limit": limit},
        ).scalars()
    )


def time_out_waits(connection: Connection, *, limit: int, only: UUID | None = None) -> list[Moved]:
    """End waits for input that lasted too long: fail, or go on along the branch that they name."""
    rows = connection.execute(
        text(f"""
WITH late AS MATERIALIZED (
  SELECT r.id, r."stepIndex" AS step_index, r."stepName" AS step_name,
         r."waitingFor"->'onTimeout'->>'next' AS following,
         w.steps->(r."waitingFor"->'onTimeout'->>'next') AS follower
    FROM "workflowRuns" r
    LEFT JOIN workflows w ON w.name = r.workflow AND w.version = r."workflowVersion"
   WHERE r."runState" = '{RunState.WAITING}' AND r."availableAt" <= {_NOW}
     AND (CAST(:only AS uuid) IS NULL OR r.id = :only)
   ORDER BY r."availableAt" LIMIT :limit FOR UPDATE OF r SKIP LOCKED),
moved AS (
  UPDATE "workflowRuns" r SET "waitingFor" = NULL,
      "runState" = CASE WHEN l.follower IS NULL THEN '{RunState.FAILED}'
        ELSE '{RunState.PENDING}' END,
      error = CASE WHEN l.follower IS NULL THEN jsonb_build_object(
        'code', '{Failure.INPUT_TIMED_OUT}', 'stepIndex', r."stepIndex",
        'message', 'No input came in time.') END,
      "finishedAt" = CASE WHEN l.follower IS NULL THEN clock_timestamp() END,
      "stepIndex" = r."stepIndex" + (l.follower IS NOT NULL)::integer,
      "stepName" = CASE WHEN l.follower IS NULL THEN r."stepName" ELSE l.following END,
      "stepType" = coalesce(l.follower->>'type', r."stepType"),
      "stepQueue" = CASE WHEN l.follower IS NULL THEN r."stepQueue"
        ELSE coalesce(l.follower->>'queue', r.queue) END,
      failures = CASE WHEN l.follower IS NULL THEN r.failures ELSE 0 END,
      "claimKey" = {FRESH_CLAIM_KEY},
      version = r.version + 1
    FROM late l WHERE r.id = l.id AND r."runState" = '{RunState.WAITING}'
  RETURNING r.*, l.step_index, l.following),
stepped AS (
  UPDATE "workflowSteps" s SET error = m.error, "finishedAt" = clock_timestamp(),
         state = CASE m."runState" WHEN 'failed' THEN 'failed' ELSE 'skipped' END
    FROM moved m WHERE s."runId" = m.id AND s."stepIndex" = m.step_index),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", detail)
  SELECT id, version, 'timed-out', clock_timestamp(), '{RunState.WAITING}', "runState",
         jsonb_strip_nulls(jsonb_build_object('stepIndex', step_index, 'code', error->>'code',
           'next', CASE "runState" WHEN 'pending' THEN following END))
    FROM moved)
SELECT id AS run_id, "runState" AS run_state, queue, "stepQueue" AS step_queue,
       "concurrencyKey" AS concurrency_key
  FROM moved
"""),
        {"limit": limit, "only": only},
    )
    return [Moved(**row._mapping) for row in rows]  # noqa: SLF001


def late_run_ids(connection: Connection, *, limit: int) -> list[UUID]:
    """Runs whose wait is over, without locking them; `time_out_waits` decides again."""
    return list(
        connection.execute(
            text(f"""
SELECT id FROM "workflowRuns"
 WHERE "runState" = '{RunState.WAITING}' AND "availableAt" <= {_NOW}
 ORDER BY "availableAt" LIMIT :limit
"""),
            {"limit": limit},
        ).scalars()
    )


def prune(connection: Connection, *, retention_days: int, after: UUID | None, limit: int) -> Pruned:
    """
    Delete runs that have been over for longer, with their steps and events.

    Only what is among the `limit` runs that follow `after` by their id (the first ones
    when None): a page costs the same however many of its runs stay.
    """
    row = connection.execute(
        text("""
SELECT pruned, through, is_last
  FROM dibs_prune_page(clock_timestamp() - make_interval(days => :retention_days),
                       coalesce(CAST(:after AS uuid), '00000000-0000-0000-0000-000000000000'),
                       :limit)
"""),
        {"retention_days": retention_days, "after": after, "limit": limit},
    ).one()
    return Pruned(row.pruned, row.through, row.is_last)


def note_pruning(connection: Connection, *, through: UUID | None, rest_seconds: float) -> None:
    """Keep how far the pass has come (None: to its end), and let nobody prune for so long."""
    connection.execute(
        text("""
UPDATE keeper SET "prunedThrough" = :through, "prunedAt" = clock_timestamp(),
    "pruneRestSeconds" = :rest_seconds
"""),
        {"through": through, "rest_seconds": rest_seconds},
    )

"""Leases: keep them for as long as their runs execute.

Every write requires that the row still holds the lease and that it was granted
to the caller's token. How a lease ends stands in `endings` and `orphans`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.lifecycle import RunState
from orchestrator.store.sql import text

# Whether the row's lease was granted to the token that asks. A full name is
# <token's name>[:<instance>], and no name has a colon.
OWNED = """split_part(r."lockedBy", ':', 1)"""

# An aborted run's lease goes on for one lease after the request, no longer.
EXPIRY = """least(clock_timestamp() + make_interval(secs => {seconds}),
        r."abortRequestedAt" + make_interval(secs => r."leaseSeconds"))"""

# A clock that stepped back leaves times behind that no write could have meant.
_FURTHEST_EXPIRY = """clock_timestamp() + 2 * make_interval(secs => r."leaseSeconds")"""
_TOO_FAR_AHEAD = f"""r."leaseId" IS NOT NULL
     AND (r."leaseExpiresAt" > {_FURTHEST_EXPIRY} OR r."abortRequestedAt" > clock_timestamp())"""


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease that an executor says it holds."""

    token_name: str
    run_id: UUID
    lease_id: UUID
    progress: str | None = None
    lease_seconds: int | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Renewal:
    """A lease that was renewed; `abort`: its holder is asked to stop."""

    lease_id: UUID
    expires_at: datetime
    abort: bool


def server_time(connection: Connection) -> datetime:
    """The database's clock."""
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now


def renew(
    connection: Connection, held: Sequence[HeldLease], *, skip_locked: bool = False
) -> list[Renewal]:
    """
    Move the expiry of leases; the first renewal confirms that the run executes.

    Args:
        held: At most one entry for each lease. `lease_seconds` None keeps the
            lease's own length; `progress` is JSON text.
        skip_locked: Do not wait for a row that another transaction holds; its lease is
            missing.

    Returns:
        The renewed ones in no order; a lease that is missing is lost.
    """
    rows = connection.execute(
        text(f"""
WITH named AS (
  SELECT * FROM unnest(CAST(:token_names AS text[]), CAST(:run_ids AS uuid[]),
    CAST(:lease_ids AS uuid[]), CAST(:progresses AS text[]), CAST(:lease_seconds AS integer[]),
    CAST(:request_ids AS text[]))
    AS n(token_name, run_id, lease_id, progress, seconds, request_id)),
held AS MATERIALIZED (
  SELECT n.*, r."runState" AS was
    FROM named n JOIN "workflowRuns" r ON r.id = n.run_id
   WHERE r."leaseId" = n.lease_id AND {OWNED} = n.token_name
   ORDER BY r.id FOR UPDATE OF r{" SKIP LOCKED" if skip_locked else ""}),
renewed AS (
  UPDATE "workflowRuns" r SET
      "runState" = '{RunState.STARTED}',
      "leaseExpiresAt" = {EXPIRY.format(seconds='coalesce(h.seconds, r."leaseSeconds")')},
      "leaseSeconds" = CASE WHEN r."abortRequestedAt" IS NULL
        THEN coalesce(h.seconds, r."leaseSeconds") ELSE r."leaseSeconds" END,
      "startedAt" = coalesce(r."startedAt", clock_timestamp()),
      progress = coalesce(CAST(h.progress AS jsonb), r.progress),
      version = r.version + (h.was = '{RunState.LOADING}')::integer
    FROM held h
   WHERE r.id = h.run_id AND r."leaseId" = h.lease_id
  RETURNING r.*, h.was, h.request_id, h.token_name),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, 'started', clock_timestamp(), was, "runState", "leaseId", fence, "lockedBy",
         request_id, token_name, '{{}}'
    FROM renewed WHERE was = '{RunState.LOADING}')
SELECT "leaseId" AS lease_id, "leaseExpiresAt" AS expires_at,
       "abortRequestedAt" IS NOT NULL AS abort
  FROM renewed
"""),
        {
            "token_names": [lease.token_name for lease in held],
            "run_ids": [lease.run_id for lease in held],
            "lease_ids": [lease.lease_id for lease in held],
            "progresses": [lease.progress for lease in held],
            "lease_seconds": [lease.lease_seconds for lease in held],
            "request_ids": [lease.request_id for lease in held],
        },
    )
    return [Renewal(row.lease_id, row.expires_at, row.abort) for row in rows]


def start_step(
    connection: Connection, held: Sequence[HeldLease], *, step_indexes: Sequence[int]
) -> set[UUID]:
    """
    Write ahead that a mutating step begins; from now on it may have acted.

    Repeatable under the same lease.

    Returns:
        The ids of the leases under which the step may begin; the others are
        lost, or the run is at another step.
    """
    rows = connection.execute(
        text(f"""
WITH named AS (
  SELECT * FROM unnest(CAST(:token_names AS text[]), CAST(:run_ids AS uuid[]),
    CAST(:lease_ids AS uuid[]), CAST(:step_indexes AS integer[]), CAST(:request_ids AS text[]))
    AS n(token_name, run_id, lease_id, step_index, request_id)),
held AS MATERIALIZED (
  SELECT n.*, r."runState" AS was, r."mutatingSince" IS NULL AS first
    FROM named n JOIN "workflowRuns" r ON r.id = n.run_id
   WHERE r."leaseId" = n.lease_id AND {OWNED} = n.token_name AND r."stepIndex" = n.step_index
   ORDER BY r.id FOR UPDATE OF r),
marked AS (
  UPDATE "workflowRuns" r SET
      "runState" = '{RunState.STARTED}',
      "mutatingSince" = coalesce(r."mutatingSince", clock_timestamp()),
      "startedAt" = coalesce(r."startedAt", clock_timestamp()),
      version = r.version + h.first::integer
    FROM held h
   WHERE r.id = h.run_id AND r."leaseId" = h.lease_id
  RETURNING r.*, h.was, h.first, h.request_id, h.token_name),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, 'step-started', clock_timestamp(), was, "runState", "leaseId", fence,
         "lockedBy", request_id, token_name, jsonb_build_object('stepIndex', "stepIndex")
    FROM marked WHERE first),
stepped AS (
  INSERT INTO "workflowSteps" ("runId", "stepIndex", name, type, state, "startedAt")
  SELECT id, "stepIndex", "stepName", "stepType", 'started', "mutatingSince"
    FROM marked WHERE first
  ON CONFLICT ("runId", "stepIndex") DO UPDATE SET state = 'started')
SELECT "leaseId" FROM marked
"""),
        {
            "token_names": [lease.token_name for lease in held],
            "run_ids": [lease.run_id for lease in held],
            "lease_ids": [lease.lease_id for lease in held],
            "step_indexes": list(step_indexes),
            "request_ids": [lease.request_id for lease in held],
        },
    )
    return set(rows.scalars())


def count_live(connection: Connection) -> int:
    """How many leases there are."""
    return int(
        connection.execute(
            text("""
SELECT count(*) FROM "workflowRuns" WHERE "leaseId" IS NOT NULL
""")
        ).scalar_one()
    )


def cap_expiries(connection: Connection, *, limit: int, only: UUID | None = None) -> list[UUID]:
    """
    Pull in what lies too far ahead after the clock stepped back.

    No lease lasts longer than two of its lengths from now, and no abort was
    requested later than now. A row that is locked is skipped: who holds it
    writes it anew or is soon done, and the keeper looks again at every tick of
    the next seconds. Waiting would let one locked row hold up every duty.

    Returns:
        The ids of the runs that were changed, in no order.
    """
    rows = connection.execute(
        text(f"""
WITH far AS MATERIALIZED (
  SELECT r.id, r."leaseId" FROM "workflowRuns" r
   WHERE {_TOO_FAR_AHEAD}
     AND (CAST(:only AS uuid) IS NULL OR r.id = :only)
   ORDER BY r.id LIMIT :limit FOR UPDATE OF r SKIP LOCKED)
UPDATE "workflowRuns" r SET
    "leaseExpiresAt" = least(r."leaseExpiresAt", {_FURTHEST_EXPIRY}),
    "abortRequestedAt" = CASE WHEN r."abortRequestedAt" IS NOT NULL
      THEN least(r."abortRequestedAt", clock_timestamp()) END
  FROM far f WHERE r.id = f.id AND r."leaseId" = f."leaseId"
RETURNING r.id
"""),
        {"limit": limit, "only": only},
    )
    return list(rows.scalars())


def far_run_ids(connection: Connection, *, limit: int) -> list[UUID]:
    """Runs that `cap_expiries` would change, without locking them; it decides again."""
    rows = connection.execute(
        text(f"""
SELECT r.id FROM "workflowRuns" r WHERE {_TOO_FAR_AHEAD} ORDER BY r.id LIMIT :limit
"""),
        {"limit": limit},
    )
    return list(rows.scalars())

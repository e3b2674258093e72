"""How a lease ends without a report: one expression decides for every way.

The way that a lease ends (expiry, release, orphan, replaced executor) differs
only in which leases it names. What becomes of their runs is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, TextClause

from orchestrator.lifecycle import (
    MAX_INCIDENTS,
    MAX_RELEASE_PAUSE_SECONDS,
    MAX_RELEASES_IN_A_ROW,
    PRIORITY_SECONDS,
    Ending,
    Failure,
    RunState,
    WaitingReason,
)
from orchestrator.store.sql import text

# Reads the locked row `d` (`doomed`): never a joined table, whose rows would be
# as old as the statement.
VERDICT = f"""CASE
    WHEN d."mutatingSince" IS NOT NULL THEN '{RunState.WAITING}'
    WHEN d."abortRequestedAt" IS NOT NULL THEN '{RunState.ABORTED}'
    WHEN d.crashed AND d.crashes + 1 >= d."maxCrashes" THEN '{RunState.FAILED}'
    WHEN d.unwanted AND d.releases + 1 >= {MAX_RELEASES_IN_A_ROW} THEN '{RunState.FAILED}'
    WHEN d.unwanted THEN '{RunState.SCHEDULED}'
    ELSE '{RunState.PENDING}' END"""

# A run that comes back goes behind what waits already: a poison run never heads
# its queue again and again.
FRESH_CLAIM_KEY = f"clock_timestamp() - make_interval(secs => r.priority * {PRIORITY_SECONDS})"

# The executors that lost a run's last leases, the present one among them.
_WHO_LOST_IT = f"""(
        SELECT jsonb_agg(DISTINCT l.executor) FROM (
          (SELECT e.executor FROM "runEvents" e
            WHERE e."runId" = r.id AND e.kind IN ('{Ending.EXPIRED}', '{Ending.REPLACED}')
            ORDER BY e.seq DESC LIMIT r.crashes)
          UNION ALL SELECT j."lockedBy") l)"""

NO_LEASE = """"leaseId" = NULL, "lockedBy" = NULL, "lockedSession" = NULL, "lockedAt" = NULL,
      "leaseExpiresAt" = NULL, "leaseSeconds" = NULL, "mutatingSince" = NULL, progress = NULL"""


@dataclass(frozen=True, slots=True)
class EndedLease:
    """A lease that was taken or given back, and what became of its run."""

    run_id: UUID
    lease_id: UUID
    run_state: str
    queue: str
    step_queue: str
    concurrency_key: str | None
    executor: str
    ended_at: datetime

    @property
    def token_name(self) -> str:
        """The name of the token that it was granted to."""
        return self.executor.partition(":")[0]

    @property
    def freed_queue(self) -> str:
        """The queue that it had been claimed from."""
        return self.step_queue


def end_leases(doomed: str) -> TextClause:
    """
    The statement that ends the leases that `doomed` selects.

    Args:
        doomed: A SELECT from `"workflowRuns" r` that gives `r.*` and the ending's
            columns (`ending_columns`), in id order, `FOR UPDATE OF r`. Its WHERE is
            the guard: it is checked again on the newest version of a locked row.
    """
    return text(f"""
WITH doomed AS MATERIALIZED ({doomed}),
judged AS (
  SELECT d.*, {VERDICT} AS verdict,
         least({MAX_RELEASE_PAUSE_SECONDS}, power(2, d.releases)) AS pause_seconds,
         CASE WHEN d.crashed THEN '{Failure.CRASHED_TOO_OFTEN}'
              WHEN d.reason = '{Failure.NO_HANDLER}' AND NOT EXISTS (
                SELECT FROM executors e WHERE d."stepType" = ANY (e."stepTypes"))
              THEN '{Failure.NO_HANDLER}'
              ELSE '{Failure.RELEASED_TOO_OFTEN}' END AS failure_code
    FROM doomed d),
ended AS (
  UPDATE "workflowRuns" r SET
      "runState" = j.verdict,
      {NO_LEASE},
      crashes = r.crashes + j.crashed::integer,
      releases = CASE WHEN j.unwanted THEN r.releases + 1 ELSE r.releases END,
      "availableAt" = CASE j.verdict
        WHEN 'waiting' THEN NULL
        WHEN 'scheduled' THEN clock_timestamp() + make_interval(secs => j.pause_seconds)
        ELSE r."availableAt" END,
      "claimKey" = CASE j.verdict WHEN 'pending' THEN {FRESH_CLAIM_KEY} ELSE r."claimKey" END,
      "waitingFor" = CASE j.verdict WHEN 'waiting'
        THEN jsonb_build_object('reason', '{WaitingReason.OUTCOME_UNKNOWN}') END,
      error = CASE j.verdict WHEN 'failed' THEN jsonb_strip_nulls(jsonb_build_object(
          'code', j.failure_code, 'stepIndex', r."stepIndex",
          'executors', CASE WHEN j.crashed THEN {_WHO_LOST_IT} END,
          'message', CASE WHEN j.crashed
            THEN 'The lease expired ' || r.crashes + 1 || ' times; the last holder was '
                 || j."lockedBy" || '.'
            ELSE 'Released ' || r.releases + 1 || ' times in a row: ' || j.reason END))
        ELSE r.error END,
      "finishedAt" = CASE WHEN j.verdict IN ('failed', 'aborted') THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.*, j."runState" AS was, j."leaseId" AS lease_id, j.fence AS lease_fence,
    j."lockedBy" AS executor, j."lockedSession" AS lost_session, j.crashed,
    j.incident_since, j."lockedAt" AS locked_at, j.ending, j.reason, j.request_id,
    j.actor, clock_timestamp() AS ended_at),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, ending, ended_at, was, "runState", lease_id, lease_fence, executor,
         request_id, actor, jsonb_strip_nulls(jsonb_build_object(
           'reason', reason, 'stepIndex', "stepIndex",
           'code', CASE "runState" WHEN 'failed' THEN error->>'code' END))
    FROM ended),
stepped AS (
  INSERT INTO "workflowSteps" ("runId", "stepIndex", name, type, state, error, "startedAt",
                               "finishedAt")
  SELECT id, "stepIndex", "stepName", "stepType",
         CASE "runState" WHEN 'waiting' THEN 'unknown' ELSE 'failed' END,
         CASE "runState" WHEN 'failed' THEN error END, locked_at,
         CASE "runState" WHEN 'failed' THEN ended_at END
    FROM ended WHERE "runState" IN ('waiting', 'failed')
  ON CONFLICT ("runId", "stepIndex") DO UPDATE
    SET state = excluded.state, error = excluded.error, "finishedAt" = excluded."finishedAt"),
lost AS (
  INSERT INTO incidents AS i (executor, session, number, at)
  SELECT executor, lost_session, 1, clock_timestamp() FROM ended WHERE crashed
   GROUP BY executor, lost_session ORDER BY executor, lost_session
  ON CONFLICT (executor, session) DO UPDATE SET at = excluded.at,
    number = i.number + (i.at < (SELECT min(incident_since) FROM ended))::integer
  RETURNING i.executor, i.session, i.number),
quarantined AS (
  INSERT INTO executors AS e ("fullName", session, "tokenName", queues, "stepTypes", labels,
                              state, reason, "registeredAt", "seenAt")
  SELECT executor, session, split_part(executor, ':', 1),
         (SELECT array_agg(DISTINCT n."stepQueue") FROM ended n
           WHERE n.executor = lost.executor AND n.lost_session = lost.session),
         '{{}}', '{{}}', 'quarantined',
         'Lost leases ' || number || ' times without a success in between.',
         clock_timestamp(), clock_timestamp()
    FROM lost WHERE number >= {MAX_INCIDENTS} ORDER BY executor, session
  ON CONFLICT ("fullName", session) DO UPDATE SET state = excluded.state, reason = excluded.reason
    WHERE e.state = 'active')
SELECT id AS run_id, lease_id, "runState" AS run_state, queue, "stepQueue" AS step_queue,
       "concurrencyKey" AS concurrency_key, executor, ended_at
  FROM ended ORDER BY id
""")


def ending_columns(
    ending: Ending,
    *,
    reason: str = "NULL::text",
    unwanted: str = "false",
    request_id: str = "NULL::text",
    actor: str = "NULL::text",
    incident_since: str = "clock_timestamp()",
) -> str:
    """
    The columns that say how leases end; the arguments are SQL expressions.

    Args:
        incident_since: What a session has lost since then is one incident with this.
    """
    crashed = "true" if ending in (Ending.EXPIRED, Ending.REPLACED) else "false"
    return (
        f"'{ending}'::text AS ending, {crashed} AS crashed, {unwanted} AS unwanted, "
        f"{reason} AS reason, {request_id} AS request_id, {actor} AS actor, "
        f"{incident_since} AS incident_since"
    )


def ended(
    connection: Connection, statement: TextClause, values: dict[str, Any]
) -> list[EndedLease]:
    """Run an `end_leases` statement."""
    return [
        EndedLease(**row._mapping)  # noqa: SLF001 - the documented name of a row's mapping
        for row in connection.execute(statement, values)
    ]

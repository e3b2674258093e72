"""Reports: the outcome of a step, stored once under the lease that made it.

A report that finds its lease changes the run, the step and the ledger in one
statement. A report that does not is answered from the ledger: the same outcome
under the same lease gets the stored answer, however late it comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from orchestrator.lifecycle import (
    BACKOFF_FACTOR,
    BACKOFF_SECONDS,
    MAX_BACKOFF_SECONDS,
    Failure,
    RunState,
    WaitingReason,
)
from orchestrator.store.leases import OWNED
from orchestrator.store.verdict import NO_LEASE


@dataclass(frozen=True, slots=True)
class Report:
    """
    One step's outcome.

    Attributes:
        status: success, error, unknown, awaiting-input or later.
        output: JSON text of a success.
        retryable: Of an error; None leaves it to the step: a mutating one that
            has begun is not run again, any other is.
        waiting_for: JSON text of an awaiting-input, its `reason` among it.
        outcome_hash: Tells a repeat from another outcome.
    """

    token_name: str
    run_id: UUID
    lease_id: UUID
    step_index: int
    status: str
    outcome_hash: bytes
    output: str | None = None
    message: str | None = None
    retryable: bool | None = None
    waiting_for: str | None = None
    available_at: datetime | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Reported:
    """What became of the run of the report at this place of the list."""

    place: int
    run_id: UUID
    run_state: str
    queue: str


@dataclass(frozen=True, slots=True)
class Stored:
    """An outcome that the ledger holds for a lease and step."""

    run_id: UUID
    lease_id: UUID
    step_index: int
    outcome_hash: bytes
    run_state: str


def report(connection: Connection, reports: Sequence[Report]) -> list[Reported]:
    """
    Store outcomes, each under the lease that it names.

    Args:
        reports: At most one for each run.

    Returns:
        The stored ones in no order. What is missing changed nothing: `stored`
        and `current_step` say why.
    """
    # `judged` reads the row that `held` has locked, never a table beside it.
    rows = connection.execute(
        text(f"""
WITH told AS (
  SELECT * FROM unnest(CAST(:token_names AS text[]), CAST(:run_ids AS uuid[]),
    CAST(:lease_ids AS uuid[]), CAST(:step_indexes AS integer[]), CAST(:statuses AS text[]),
    CAST(:outputs AS text[]), CAST(:messages AS text[]), CAST(:retryables AS boolean[]),
    CAST(:waiting_fors AS text[]), CAST(:available_ats AS timestamptz[]),
    CAST(:hashes AS bytea[]), CAST(:request_ids AS text[]))
    WITH ORDINALITY AS t(token_name, run_id, lease_id, step_index, status, step_output, message,
                         retryable, waiting_for, later_at, outcome_hash, request_id, place)),
held AS MATERIALIZED (
  SELECT r.*, t.*
    FROM told t JOIN "workflowRuns" r ON r.id = t.run_id
   WHERE r."leaseId" = t.lease_id AND {OWNED} = t.token_name AND r."stepIndex" = t.step_index
   ORDER BY r.id FOR UPDATE OF r),
judged AS (
  SELECT h.*, CASE
      WHEN h.status = 'success' THEN '{RunState.FINISHED}'
      WHEN h.status = 'unknown' THEN '{RunState.WAITING}'
      WHEN h."abortRequestedAt" IS NOT NULL THEN '{RunState.ABORTED}'
      WHEN h.status = 'awaiting-input' THEN '{RunState.WAITING}'
      WHEN h.status = 'later' THEN '{RunState.SCHEDULED}'
      WHEN NOT coalesce(h.retryable, h."mutatingSince" IS NULL) THEN '{RunState.FAILED}'
      WHEN h.failures + 1 >= h."maxFailures" THEN '{RunState.FAILED}'
      ELSE '{RunState.SCHEDULED}' END AS verdict,
    CASE WHEN NOT coalesce(h.retryable, h."mutatingSince" IS NULL) THEN '{Failure.STEP_FAILED}'
         ELSE '{Failure.FAILED_TOO_OFTEN}' END AS failure_code
    FROM held h),
reported AS (
  UPDATE "workflowRuns" r SET
      "runState" = j.verdict,
      {NO_LEASE},
      failures = r.failures + (j.status = 'error')::integer,
      releases = 0,
      output = CASE j.verdict WHEN 'finished'
        THEN nullif(CAST(j.step_output AS jsonb), 'null'::jsonb) END,
      error = CASE WHEN j.verdict = 'finished' THEN NULL
        WHEN j.status = 'error' THEN jsonb_build_object(
          'code', CASE j.verdict WHEN 'failed' THEN j.failure_code ELSE 'step-error' END,
          'message', j.message, 'stepIndex', r."stepIndex")
        ELSE r.error END,
      "waitingFor" = CASE j.verdict WHEN 'waiting' THEN CASE j.status
        WHEN 'unknown' THEN jsonb_strip_nulls(jsonb_build_object(
          'reason', '{WaitingReason.OUTCOME_UNKNOWN}', 'message', j.message))
        ELSE CAST(j.waiting_for AS jsonb) END END,
      "resumeInput" = CASE j.status WHEN 'awaiting-input' THEN NULL ELSE r."resumeInput" END,
      "availableAt" = CASE
        WHEN j.verdict = 'waiting' THEN clock_timestamp() + make_interval(secs =>
          (CAST(j.waiting_for AS jsonb)->>'timeoutSeconds')::double precision)
        WHEN j.status = 'later' AND j.verdict = 'scheduled' THEN j.later_at
        WHEN j.verdict = 'scheduled' THEN clock_timestamp() + make_interval(secs => random()
          * least({MAX_BACKOFF_SECONDS}, {BACKOFF_SECONDS} * power({BACKOFF_FACTOR}, r.failures)))
        ELSE r."availableAt" END,
      "startedAt" = coalesce(r."startedAt", j."lockedAt"),
      "finishedAt" = CASE WHEN j.verdict IN ('finished', 'failed', 'aborted')
        THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.id, r."runState", r.queue, r.version, r."stepIndex", r."stepName", r."stepType",
    r.error, r.output, j."runState" AS was, j.place, j.status, j.outcome_hash, j.message,
    j."leaseId" AS lease_id, j.fence, j."lockedBy" AS executor, j."lockedAt" AS locked_at,
    j.request_id, j.token_name, j.step_output),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, 'reported', clock_timestamp(), was, "runState", lease_id, fence, executor,
         request_id, token_name, jsonb_strip_nulls(jsonb_build_object(
           'stepIndex', "stepIndex", 'outcome', status,
           'outcomeHash', encode(outcome_hash, 'hex'), 'message', left(message, 1000),
           'code', CASE "runState" WHEN 'failed' THEN error->>'code' END))
    FROM reported),
stepped AS (
  INSERT INTO "workflowSteps" ("runId", "stepIndex", name, type, state, output, error,
                               "startedAt", "finishedAt")
  SELECT id, "stepIndex", "stepName", "stepType",
         CASE status WHEN 'success' THEN 'finished' WHEN 'error' THEN 'failed'
           WHEN 'unknown' THEN 'unknown' WHEN 'awaiting-input' THEN 'waiting' ELSE 'started' END,
         CASE status WHEN 'success' THEN nullif(CAST(step_output AS jsonb), 'null'::jsonb) END,
         CASE status WHEN 'error' THEN error END, locked_at,
         CASE WHEN status IN ('success', 'error') THEN clock_timestamp() END
    FROM reported
  ON CONFLICT ("runId", "stepIndex") DO UPDATE SET
    state = excluded.state, output = excluded.output, error = excluded.error,
    "finishedAt" = excluded."finishedAt")
SELECT place, id AS run_id, "runState" AS run_state, queue FROM reported
"""),
        {
            "token_names": [item.token_name for item in reports],
            "run_ids": [item.run_id for item in reports],
            "lease_ids": [item.lease_id for item in reports],
            "step_indexes": [item.step_index for item in reports],
            "statuses": [item.status for item in reports],
            "outputs": [item.output for item in reports],
            "messages": [item.message for item in reports],
            "retryables": [item.retryable for item in reports],
            "waiting_fors": [item.waiting_for for item in reports],
            "available_ats": [item.available_at for item in reports],
            "hashes": [item.outcome_hash for item in reports],
            "request_ids": [item.request_id for item in reports],
        },
    )
    return [Reported(row.place - 1, row.run_id, row.run_state, row.queue) for row in rows]


def stored(connection: Connection, reports: Sequence[Report]) -> list[Stored]:
    """
    The outcomes that the ledger holds for these leases, granted to these tokens.

    Returns:
        One for each step that was reported under a lease.
    """
    rows = connection.execute(
        text(f"""
SELECT e."runId", e."leaseId", (e.detail->>'stepIndex')::integer,
       decode(e.detail->>'outcomeHash', 'hex'), e."toState"
  FROM unnest(CAST(:token_names AS text[]), CAST(:run_ids AS uuid[]), CAST(:lease_ids AS uuid[]))
    AS t(token_name, run_id, lease_id)
  JOIN "runEvents" e ON e."runId" = t.run_id AND e."leaseId" = t.lease_id
   AND e.kind = 'reported' AND {OWNED.replace('r."lockedBy"', "e.executor")} = t.token_name
"""),
        {
            "token_names": [item.token_name for item in reports],
            "run_ids": [item.run_id for item in reports],
            "lease_ids": [item.lease_id for item in reports],
        },
    )
    return [Stored(row[0], row[1], row[2], bytes(row[3]), row[4]) for row in rows]


def current_steps(connection: Connection, reports: Sequence[Report]) -> dict[UUID, int]:
    """The present step of each run that these leases still hold; only words a refusal."""
    rows = connection.execute(
        text(f"""
SELECT r.id, r."stepIndex"
  FROM unnest(CAST(:token_names AS text[]), CAST(:run_ids AS uuid[]), CAST(:lease_ids AS uuid[]))
    AS t(token_name, run_id, lease_id)
  JOIN "workflowRuns" r ON r.id = t.run_id AND r."leaseId" = t.lease_id
   AND {OWNED} = t.token_name
"""),
        {
            "token_names": [item.token_name for item in reports],
            "run_ids": [item.run_id for item in reports],
            "lease_ids": [item.lease_id for item in reports],
        },
    )
    return {row[0]: row[1] for row in rows}

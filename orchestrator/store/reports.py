"""Reports: the outcome of a step, stored once under the lease that made it.

A report that finds its lease changes the run, the step and the ledger in one
statement. A report that does not is answered from the ledger: the same outcome
under the same lease gets the stored answer, however late it comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.lifecycle import (
    BACKOFF_FACTOR,
    BACKOFF_SECONDS,
    MAX_BACKOFF_SECONDS,
    Failure,
    RunState,
    WaitingReason,
)
from orchestrator.store.hot import hot
from orchestrator.store.leases import EXPIRY, OWNED
from orchestrator.store.sql import text
from orchestrator.store.verdict import FRESH_CLAIM_KEY

# Whether the holder may go on with the next step under its lease.
_MAY_CHAIN = """coalesce(o.follower->>'queue', o.queue) = o."stepQueue"
       AND NOT EXISTS (SELECT FROM queues q WHERE q.name = o."stepQueue" AND q.paused)
       AND NOT EXISTS (SELECT FROM executors e
         WHERE e."fullName" = o."lockedBy" AND e.session = o."lockedSession"
           AND e.state <> 'active')
       AND EXISTS (SELECT FROM "accessTokens" a
         WHERE a.name = o.token_name AND a."revokedAt" IS NULL
           AND (a."expiresAt" IS NULL OR a."expiresAt" > clock_timestamp()))"""

_LEASE_GOES_ON = ",\n      ".join(
    f"\"{column}\" = CASE j.verdict WHEN 'started' THEN {value} END"
    for column, value in {
        "leaseId": 'r."leaseId"',
        "lockedBy": 'r."lockedBy"',
        "lockedSession": 'r."lockedSession"',
        "lockedAt": 'r."lockedAt"',
        "leaseExpiresAt": EXPIRY.format(seconds='r."leaseSeconds"'),
        "leaseSeconds": 'r."leaseSeconds"',
    }.items()
)

# The bound of the back-off, of which a random part is waited (full jitter).
_BACKOFF = f"""least(
          coalesce((j.definition->'retry'->>'maxBackoffSeconds')::double precision,
                   {MAX_BACKOFF_SECONDS}),
          coalesce((j.definition->'retry'->>'backoffSeconds')::double precision, {BACKOFF_SECONDS})
            * power(coalesce((j.definition->'retry'->>'backoffFactor')::double precision,
                             {BACKOFF_FACTOR}), r.failures))"""


class Report(NamedTuple):
    """
    One step's outcome.

    Attributes:
        status: success, error, unknown, awaiting-input or later.
        output: JSON text of a success.
        retryable: Of an error; None leaves it to the step: a mutating one that
            has begun is not run again, any other is.
        waiting_for: JSON text of an awaiting-input, its `reason` among it.
        outcome_hash: Tells a repeat from another outcome.
        next_step: The step that a success chose among those that its step offers.
        chain: Whether the holder would go on with the next step under its lease.
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
    next_step: str | None = None
    chain: bool = False


class Reported(NamedTuple):
    """
    What became of the run of the report at this place of the list.

    `run_state` is `started` when the holder goes on with the next step.

    Attributes:
        held_queue: The queue that it had been claimed from.
    """

    place: int
    run_id: UUID
    run_state: str
    queue: str
    step_queue: str
    concurrency_key: str | None
    held_queue: str

    @property
    def freed_queue(self) -> str | None:
        """The queue in which a lease has ended with this; None when it goes on."""
        return None if self.run_state == RunState.STARTED else self.held_queue


@dataclass(frozen=True, slots=True)
class Stored:
    """An outcome that the ledger holds for a lease and step."""

    run_id: UUID
    lease_id: UUID
    step_index: int
    outcome_hash: bytes
    run_state: str


def report(
    connection: Connection, reports: Sequence[Report], *, skip_locked: bool = False
) -> list[Reported]:
    """
    Store outcomes, each under the lease that it names.

    Args:
        reports: At most one for each run.
        skip_locked: Do not wait for a row that another transaction holds; its report is
            missing. A session's incidents that are being counted are then not forgiven yet.

    Returns:
        The stored ones in no order. What is missing changed nothing: `stored`
        and `current_step` say why.
    """
    # `judged` reads the row that `held` has locked. The definition beside it is of
    # the version that the run is pinned to, and immutable; what it reads of queues,
    # executors and tokens only decides whether the next step waits for a claim.
    rows = hot(f"""
WITH told AS (
  SELECT * FROM unnest(CAST(:token_names AS text[]), CAST(:run_ids AS uuid[]),
    CAST(:lease_ids AS uuid[]), CAST(:step_indexes AS integer[]), CAST(:statuses AS text[]),
    CAST(:outputs AS text[]), CAST(:messages AS text[]), CAST(:retryables AS boolean[]),
    CAST(:waiting_fors AS text[]), CAST(:available_ats AS timestamptz[]),
    CAST(:hashes AS bytea[]), CAST(:request_ids AS text[]), CAST(:next_steps AS text[]),
    CAST(:chains AS boolean[]))
    WITH ORDINALITY AS t(token_name, run_id, lease_id, step_index, status, step_output, message,
                         retryable, waiting_for, later_at, outcome_hash, request_id, next_step,
                         chain, place)),
held AS MATERIALIZED (
  SELECT r.*, t.*, w.steps, w.steps->r."stepName" AS definition,
         coalesce(w.steps->r."stepName"->'next', '[]') AS offered,
         CAST(t.waiting_for AS jsonb)->'onTimeout'->>'next' AS on_timeout
    FROM told t JOIN "workflowRuns" r ON r.id = t.run_id
    LEFT JOIN workflows w ON w.name = r.workflow AND w.version = r."workflowVersion"
   WHERE r."leaseId" = t.lease_id AND {OWNED} = t.token_name AND r."stepIndex" = t.step_index
   ORDER BY r.id FOR UPDATE OF r{" SKIP LOCKED" if skip_locked else ""}),
chosen AS (
  SELECT h.*, CASE
      WHEN h.status <> 'success' THEN NULL
      WHEN h.next_step IS NULL AND jsonb_array_length(h.offered) = 1 THEN h.offered->>0
      WHEN h.offered ? h.next_step THEN h.next_step END AS following
    FROM held h),
weighed AS (
  SELECT c.*, c.steps->c.following AS follower, CASE
      WHEN c.status = 'success' AND c.following IS NULL
       AND (c.next_step IS NOT NULL OR c.offered <> '[]')
      THEN 'Step ' || c."stepName" || ' offers the next steps ' || c.offered::text || ', '
           || CASE WHEN c.next_step IS NULL THEN 'and none was chosen.'
              ELSE 'and ' || c.next_step || ' was chosen.' END
      WHEN c.on_timeout IS NOT NULL AND NOT c.offered ? c.on_timeout
      THEN 'Step ' || c."stepName" || ' offers the next steps ' || c.offered::text
           || ', and onTimeout names ' || c.on_timeout || '.' END AS misled
    FROM chosen c),
judged AS (
  SELECT o.*,
    CASE WHEN o.outcome = 'success' AND o.following IS NULL THEN '{RunState.FINISHED}'
      WHEN o.outcome = 'unknown' THEN '{RunState.WAITING}'
      WHEN o."abortRequestedAt" IS NOT NULL THEN '{RunState.ABORTED}'
      WHEN o.outcome = 'success' AND o.chain AND {_MAY_CHAIN} THEN '{RunState.STARTED}'
      WHEN o.outcome = 'success' THEN '{RunState.PENDING}'
      WHEN o.outcome = 'awaiting-input' THEN '{RunState.WAITING}'
      WHEN o.outcome = 'later' THEN '{RunState.SCHEDULED}'
      WHEN NOT o.repeatable THEN '{RunState.FAILED}'
      WHEN o.failures + 1 >= o.budget THEN '{RunState.FAILED}'
      ELSE '{RunState.SCHEDULED}' END AS verdict,
    CASE WHEN o.repeatable THEN '{Failure.FAILED_TOO_OFTEN}'
         ELSE '{Failure.STEP_FAILED}' END AS failure_code
    FROM (
      SELECT g.*, CASE WHEN g.misled IS NULL THEN g.status ELSE 'error' END AS outcome,
             coalesce(g.misled, g.message) AS said,
             g.misled IS NULL AND coalesce(g.retryable, g."mutatingSince" IS NULL
               AND NOT coalesce((g.definition->>'mutating')::boolean, false)) AS repeatable,
             coalesce((g.definition->'retry'->>'maxFailures')::integer, g."maxFailures") AS budget
        FROM weighed g) o),
reported AS (
  UPDATE "workflowRuns" r SET
      "runState" = j.verdict,
      {_LEASE_GOES_ON},
      "mutatingSince" = NULL, progress = NULL,
      "stepIndex" = r."stepIndex" + (j.following IS NOT NULL)::integer,
      "stepName" = coalesce(j.following, r."stepName"),
      "stepType" = coalesce(j.follower->>'type', r."stepType"),
      "stepQueue" = CASE WHEN j.following IS NULL THEN r."stepQueue"
        ELSE coalesce(j.follower->>'queue', r.queue) END,
      failures = CASE WHEN j.following IS NULL
        THEN r.failures + (j.outcome = 'error')::integer ELSE 0 END,
      releases = 0,
      output = CASE j.verdict WHEN 'finished'
        THEN nullif(CAST(j.step_output AS jsonb), 'null'::jsonb) END,
      error = CASE j.outcome WHEN 'success' THEN NULL
        WHEN 'error' THEN jsonb_build_object(
          'code', CASE j.verdict WHEN 'failed' THEN j.failure_code ELSE 'step-error' END,
          'message', j.said, 'stepIndex', r."stepIndex")
        ELSE r.error END,
      "waitingFor" = CASE j.verdict WHEN 'waiting' THEN CASE j.outcome
        WHEN 'unknown' THEN jsonb_strip_nulls(jsonb_build_object(
          'reason', '{WaitingReason.OUTCOME_UNKNOWN}', 'message', j.said))
        ELSE CAST(j.waiting_for AS jsonb) END END,
      "resumeInput" = CASE WHEN j.following IS NOT NULL OR j.outcome = 'awaiting-input' THEN NULL
        ELSE r."resumeInput" END,
      "claimKey" = CASE j.verdict WHEN 'pending' THEN {FRESH_CLAIM_KEY} ELSE r."claimKey" END,
      "availableAt" = CASE
        WHEN j.verdict = 'waiting' THEN clock_timestamp() + make_interval(secs =>
          (CAST(j.waiting_for AS jsonb)->>'timeoutSeconds')::double precision)
        WHEN j.outcome = 'later' AND j.verdict = 'scheduled' THEN j.later_at
        WHEN j.verdict = 'scheduled' THEN clock_timestamp()
          + make_interval(secs => random() * {_BACKOFF})
        WHEN j.verdict = 'pending' THEN clock_timestamp()
        ELSE r."availableAt" END,
      "startedAt" = coalesce(r."startedAt", j."lockedAt"),
      "finishedAt" = CASE WHEN j.verdict IN ('finished', 'failed', 'aborted')
        THEN clock_timestamp() END,
      version = r.version + 1
    FROM judged j
   WHERE r.id = j.id AND r."leaseId" = j."leaseId"
  RETURNING r.id, r."runState", r.queue, r."stepQueue", r."concurrencyKey", r.version, r.error,
    j."runState" AS was, j."stepQueue" AS held_queue, j.place, j.outcome, j.outcome_hash, j.said,
    j.following, j."leaseId" AS lease_id, j.fence, j."lockedBy" AS executor,
    j."lockedSession" AS session, j."lockedAt" AS locked_at, j.request_id, j.token_name,
    j.step_output, j."stepIndex" AS step_index, j."stepName" AS step_name,
    j."stepType" AS step_type),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, 'reported', clock_timestamp(), was, "runState", lease_id, fence, executor,
         request_id, token_name, jsonb_strip_nulls(jsonb_build_object(
           'stepIndex', step_index, 'outcome', outcome, 'next', following,
           'outcomeHash', encode(outcome_hash, 'hex'), 'message', left(said, 1000),
           'code', CASE "runState" WHEN 'failed' THEN error->>'code' END))
    FROM reported),
stepped AS (
  INSERT INTO "workflowSteps" ("runId", "stepIndex", name, type, state, output, error,
                               "startedAt", "finishedAt")
  SELECT id, step_index, step_name, step_type,
         CASE outcome WHEN 'success' THEN 'finished' WHEN 'error' THEN 'failed'
           WHEN 'unknown' THEN 'unknown' WHEN 'awaiting-input' THEN 'waiting' ELSE 'started' END,
         CASE outcome WHEN 'success' THEN nullif(CAST(step_output AS jsonb), 'null'::jsonb) END,
         CASE outcome WHEN 'error' THEN error END,
         CASE WHEN step_index = 0 THEN locked_at ELSE greatest(locked_at, (
           SELECT max(s."finishedAt") FROM "workflowSteps" s
            WHERE s."runId" = reported.id AND s."stepIndex" < reported.step_index)) END,
         CASE WHEN outcome IN ('success', 'error') THEN clock_timestamp() END
    FROM reported
  ON CONFLICT ("runId", "stepIndex") DO UPDATE SET
    state = excluded.state, output = excluded.output, error = excluded.error,
    "finishedAt" = excluded."finishedAt"),
forgiven AS (
  UPDATE incidents i SET number = 0
    FROM (SELECT k.executor, k.session FROM incidents k
           WHERE k.number > 0
             AND (k.executor, k.session) IN (
               SELECT executor, session FROM reported WHERE outcome = 'success')
           ORDER BY k.executor, k.session
             FOR UPDATE{" SKIP LOCKED" if skip_locked else ""}) f
   WHERE i.executor = f.executor AND i.session = f.session)
SELECT place - 1, id, "runState", queue, "stepQueue", "concurrencyKey", held_queue
  FROM reported
""").rows(
        connection,
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
            "next_steps": [item.next_step for item in reports],
            "chains": [item.chain for item in reports],
        },
    )
    return [Reported._make(row) for row in rows]


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

"""What clients and operators do to runs: abort, retry, resume, resolve.

Each is one compare-and-set on the state. An act with an idempotency key leaves
the key in the event that it causes, so that its repeat is recognised.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from orchestrator.lifecycle import RunState, WaitingReason
from orchestrator.store.records import Run, run_columns, run_of
from orchestrator.store.verdict import FRESH_CLAIM_KEY


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something to which run, and by which key it can be repeated."""

    run_id: UUID
    actor: str
    request_id: str | None
    idempotency_key: str | None
    reason: str | None = None


def abort(connection: Connection, act: Act) -> Run | None:
    """
    Abort a run: at once when nobody holds it, else ask its holder to stop.

    A run whose outcome is unknown is left alone: only `resolve` moves it.

    Returns:
        None when it is over, its abort was requested before, or its outcome is unknown.
    """
    return _changed(
        connection,
        act,
        _act(
            kind="""CASE WHEN c."leaseId" IS NULL THEN 'aborted' ELSE 'abort-requested' END""",
            guard=f"""r."finishedAt" IS NULL AND r."abortRequestedAt" IS NULL
     AND r."waitingFor"->>'reason' IS DISTINCT FROM '{WaitingReason.OUTCOME_UNKNOWN}'""",
            change=f"""
      "runState" = CASE WHEN r."leaseId" IS NULL THEN '{RunState.ABORTED}' ELSE r."runState" END,
      "abortRequestedAt" = clock_timestamp(),
      "finishedAt" = CASE WHEN r."leaseId" IS NULL THEN clock_timestamp() END,
      "waitingFor" = NULL""",
        ),
    )


def retry(connection: Connection, act: Act) -> Run | None:
    """
    Make a failed or aborted run pending again at the step that failed, budgets unused.

    A mutating step that had begun takes the next stepIndex: a new idempotency
    key, on purpose.

    Returns:
        None when the run is neither failed nor aborted.

    Raises:
        IntegrityError: A live run has its dedupKey (`workflowRuns_dedup`).
    """
    return _changed(
        connection,
        act,
        _act(
            kind="'retried'",
            guard=f"""r."runState" IN ('{RunState.FAILED}', '{RunState.ABORTED}')""",
            change=f"""
      "runState" = '{RunState.PENDING}',
      "stepIndex" = r."stepIndex" + EXISTS (
        SELECT FROM "runEvents" e WHERE e."runId" = r.id AND e.kind = 'step-started'
           AND (e.detail->>'stepIndex')::integer = r."stepIndex")::integer,
      failures = 0, crashes = 0, releases = 0, error = NULL,
      "abortRequestedAt" = NULL, "finishedAt" = NULL,
      "availableAt" = clock_timestamp(), "claimKey" = {FRESH_CLAIM_KEY}""",
        ),
    )


def resume(connection: Connection, act: Act, *, input_json: str) -> Run | None:
    """
    Give a waiting run its input; it is pending again at the step that asked.

    Returns:
        None when the run does not wait for input.
    """
    return _changed(
        connection,
        act,
        _act(
            kind="'resumed'",
            guard=f"""r."runState" = '{RunState.WAITING}'
     AND r."waitingFor"->>'reason' = '{WaitingReason.INPUT}'""",
            change=f"""
      "runState" = '{RunState.PENDING}', "waitingFor" = NULL,
      "resumeInput" = CAST(:input AS jsonb),
      "availableAt" = clock_timestamp(), "claimKey" = {FRESH_CLAIM_KEY}""",
        ),
        input=input_json,
    )


_OUTCOME_UNKNOWN = f"""r."runState" = '{RunState.WAITING}'
     AND r."waitingFor"->>'reason' = '{WaitingReason.OUTCOME_UNKNOWN}'"""


def resolve_done(connection: Connection, act: Act, *, output_json: str) -> Run | None:
    """Say that a step of unknown outcome was done; None when the outcome is not unknown."""
    return _changed(
        connection,
        act,
        _act(
            kind="'resolved'",
            guard=_OUTCOME_UNKNOWN,
            change=f"""
      "runState" = '{RunState.FINISHED}', "waitingFor" = NULL, error = NULL,
      output = nullif(CAST(:output AS jsonb), 'null'::jsonb), "finishedAt" = clock_timestamp()""",
            step="""
  UPDATE "workflowSteps" s SET state = 'finished', error = NULL, "finishedAt" = c."finishedAt",
         output = c.output
    FROM changed c WHERE s."runId" = c.id AND s."stepIndex" = c."stepIndex\"""",
        ),
        output=output_json,
    )


def resolve_run_again(connection: Connection, act: Act) -> Run | None:
    """Run a step of unknown outcome again under the next stepIndex; None when it is not unknown."""
    return _changed(
        connection,
        act,
        _act(
            kind="'resolved'",
            guard=_OUTCOME_UNKNOWN,
            change=f"""
      "runState" = '{RunState.PENDING}', "waitingFor" = NULL, "stepIndex" = r."stepIndex" + 1,
      failures = 0, crashes = 0, releases = 0, error = NULL, "abortRequestedAt" = NULL,
      "availableAt" = clock_timestamp(), "claimKey" = {FRESH_CLAIM_KEY}""",
        ),
    )


def resolve_abort(connection: Connection, act: Act) -> Run | None:
    """Give up a run whose outcome is unknown; None when it is not unknown."""
    return _changed(
        connection,
        act,
        _act(
            kind="'resolved'",
            guard=_OUTCOME_UNKNOWN,
            change=f"""
      "runState" = '{RunState.ABORTED}', "waitingFor" = NULL, "finishedAt" = clock_timestamp()""",
        ),
    )


def was_done(connection: Connection, act: Act, *, kinds: tuple[str, ...]) -> bool:
    """Whether the ledger holds this act by its key."""
    if act.idempotency_key is None:
        return False
    return bool(
        connection.execute(
            text("""
SELECT EXISTS (SELECT FROM "runEvents" e
  WHERE e."runId" = :run_id AND e.actor = :actor AND e.kind = ANY (CAST(:kinds AS text[]))
    AND e.detail->>'idempotencyKey' = :idempotency_key)
"""),
            {
                "run_id": act.run_id,
                "actor": act.actor,
                "kinds": list(kinds),
                "idempotency_key": act.idempotency_key,
            },
        ).scalar_one()
    )


def _act(*, kind: str, guard: str, change: str, step: str = "SELECT FROM changed") -> TextClause:
    """One guarded change with its event; a key that the ledger holds changes nothing."""
    return text(f"""
WITH held AS MATERIALIZED (
  SELECT r.id, r."runState" AS was, r."leaseId" AS lease_id FROM "workflowRuns" r
   WHERE r.id = :run_id AND {guard}
     AND NOT EXISTS (SELECT FROM "runEvents" e
       WHERE e."runId" = :run_id AND e.actor = :actor
         AND e.detail->>'idempotencyKey' = CAST(:idempotency_key AS text))
   FOR UPDATE OF r),
changed AS (
  UPDATE "workflowRuns" r SET {change},
      version = r.version + 1
    FROM held h
   WHERE r.id = h.id AND r."runState" = h.was AND r."leaseId" IS NOT DISTINCT FROM h.lease_id
  RETURNING r.*, h.was),
stepped AS ({step}),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT c.id, c.version, {kind}, clock_timestamp(), c.was, c."runState", c."leaseId",
         CASE WHEN c."leaseId" IS NOT NULL THEN c.fence END, c."lockedBy",
         CAST(:request_id AS text), CAST(:actor AS text), jsonb_strip_nulls(jsonb_build_object(
           'reason', CAST(:reason AS text), 'stepIndex', c."stepIndex",
           'idempotencyKey', CAST(:idempotency_key AS text)))
    FROM changed c)
SELECT {run_columns("c")} FROM changed c
""")


def _changed(connection: Connection, act: Act, statement: TextClause, **values: str) -> Run | None:
    row = connection.execute(
        statement,
        {
            "run_id": act.run_id,
            "actor": act.actor,
            "request_id": act.request_id,
            "idempotency_key": act.idempotency_key,
            "reason": act.reason,
            **values,
        },
    ).one_or_none()
    return None if row is None else run_of(row)

"""Runs: create them, read them, list them. Reading never hands out work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from orchestrator.lifecycle import PRIORITY_SECONDS, RunState
from orchestrator.store.hot import hot
from orchestrator.store.records import RUN_FIELDS, Run, run_columns, run_of
from orchestrator.store.run_filter import RunFilter, matching
from orchestrator.store.sql import text
from orchestrator.store.tables import workflow_runs


@dataclass(frozen=True, slots=True)
class NewRun:
    """One requested execution; `input` is JSON text, `id` a UUIDv7."""

    id: UUID
    workflow: str
    input: str
    queue: str
    priority: int
    available_at: datetime | None
    max_failures: int
    max_crashes: int
    dedup_key: str | None
    idempotency_key: str | None
    request_hash: bytes | None
    traceparent: str | None
    created_by: str
    request_id: str | None
    concurrency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Keyed:
    """A run found by its idempotency key, and the hash of the body that made it."""

    run: Run
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class AskedBy:
    """Who had runs created that do not belong to him: a schedule's, which he ran now."""

    actor: str
    key_id: str | None


def create(
    connection: Connection, runs: Sequence[NewRun], *, asked_by: AskedBy | None = None
) -> list[Run]:
    """
    Create runs: pending, or scheduled when they are not due yet.

    A run is pinned to the current version of its workflow; without a definition
    it is one step of the workflow's name.

    Args:
        asked_by: Whom the ledger names, where it is not who they belong to.

    Returns:
        The created ones, in the order given. One is missing when a live run has
        its dedupKey or a run has its idempotency key; nothing was written for it.
    """
    actor, detail = """c."createdBy\"""", "'{}'"
    if asked_by is not None:
        actor = "CAST(:actor AS text)"
        detail = "jsonb_strip_nulls(jsonb_build_object('keyId', CAST(:key_id AS text)))"
    # One reading of the clock for all, so that the runs of a batch are claimed in the
    # order of their ids. They are written in the order of their keys: two batches with
    # the same keys wait for each other in one direction only.
    rows = hot(f"""
WITH wished AS (
  SELECT w.*, greatest(w.available_at, (SELECT clock_timestamp())) AS due,
         d.version AS workflow_version,
         coalesce(d."firstStep", w.workflow) AS step_name,
         coalesce(d.steps->d."firstStep"->>'type', w.workflow) AS step_type,
         coalesce(d.steps->d."firstStep"->>'queue', w.queue) AS step_queue
    FROM unnest(CAST(:ids AS uuid[]), CAST(:workflows AS text[]), CAST(:inputs AS text[]),
      CAST(:queues AS text[]), CAST(:priorities AS smallint[]),
      CAST(:available_ats AS timestamptz[]), CAST(:max_failures AS smallint[]),
      CAST(:max_crashes AS smallint[]), CAST(:dedup_keys AS text[]),
      CAST(:idempotency_keys AS text[]), CAST(:request_hashes AS bytea[]),
      CAST(:traceparents AS text[]), CAST(:created_bys AS text[]), CAST(:request_ids AS text[]),
      CAST(:concurrency_keys AS text[]))
      WITH ORDINALITY AS w(id, workflow, input, queue, priority, available_at, max_failures,
        max_crashes, dedup_key, idempotency_key, request_hash, traceparent, created_by,
        request_id, concurrency_key, place)
    LEFT JOIN "currentWorkflows" v ON v.name = w.workflow
    LEFT JOIN workflows d ON d.name = v.name AND d.version = v.version),
created AS (
  INSERT INTO "workflowRuns" AS r (
    id, workflow, "workflowVersion", queue, "stepQueue", "runState", priority, "availableAt",
    "claimKey", "stepIndex", "stepName", "stepType", input, attempt, failures, crashes, releases,
    "maxFailures", "maxCrashes", fence, "dedupKey", "idempotencyKey", "requestHash",
    traceparent, "createdBy", "createdAt", version, "concurrencyKey")
  SELECT id, workflow, workflow_version, queue, step_queue,
         CASE WHEN available_at > clock_timestamp() THEN '{RunState.SCHEDULED}'
              ELSE '{RunState.PENDING}' END,
         priority, due, due - make_interval(secs => priority * {PRIORITY_SECONDS}),
         0, step_name, step_type, CAST(input AS jsonb), 0, 0, 0, 0, max_failures, max_crashes, 0,
         dedup_key, idempotency_key, request_hash, traceparent, created_by, clock_timestamp(), 1,
         concurrency_key
    FROM wished ORDER BY idempotency_key, queue, workflow, dedup_key, place
  ON CONFLICT DO NOTHING
  RETURNING r.*),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "toState", "requestId", actor, detail)
  SELECT c.id, 1, 'created', c."createdAt", c."runState", w.request_id, {actor}, {detail}
    FROM created c JOIN wished w USING (id))
SELECT {run_columns("c")} FROM created c JOIN wished w USING (id) ORDER BY w.place
""").rows(
        connection,
        {
            "ids": [run.id for run in runs],
            "workflows": [run.workflow for run in runs],
            "inputs": [run.input for run in runs],
            "queues": [run.queue for run in runs],
            "priorities": [run.priority for run in runs],
            "available_ats": [run.available_at for run in runs],
            "max_failures": [run.max_failures for run in runs],
            "max_crashes": [run.max_crashes for run in runs],
            "dedup_keys": [run.dedup_key for run in runs],
            "idempotency_keys": [run.idempotency_key for run in runs],
            "request_hashes": [run.request_hash for run in runs],
            "traceparents": [run.traceparent for run in runs],
            "created_bys": [run.created_by for run in runs],
            "request_ids": [run.request_id for run in runs],
            "concurrency_keys": [run.concurrency_key for run in runs],
            "actor": asked_by and asked_by.actor,
            "key_id": asked_by and asked_by.key_id,
        },
    )
    return [run_of(row) for row in rows]


def find(connection: Connection, run_id: UUID) -> Run | None:
    """One run by id."""
    row = connection.execute(
        text(f'SELECT {run_columns("r")} FROM "workflowRuns" r WHERE r.id = :run_id'),
        {"run_id": run_id},
    ).one_or_none()
    return None if row is None else run_of(row)


def find_by_idempotency_key(connection: Connection, created_by: str, key: str) -> Keyed | None:
    """The run that this token created with this key."""
    row = connection.execute(
        text(f"""
SELECT {run_columns("r")}, r."requestHash" AS request_hash FROM "workflowRuns" r
 WHERE r."createdBy" = :created_by AND r."idempotencyKey" = :key
"""),
        {"created_by": created_by, "key": key},
    ).one_or_none()
    return None if row is None else Keyed(run_of(row), bytes(row.request_hash))


def find_live_by_dedup_key(
    connection: Connection, *, queue: str, workflow: str, dedup_key: str
) -> Run | None:
    """The live run that holds a dedupKey."""
    row = connection.execute(
        text(f"""
SELECT {run_columns("r")} FROM "workflowRuns" r
 WHERE r.queue = :queue AND r.workflow = :workflow AND r."dedupKey" = :dedup_key
   AND r."runState" IN ('scheduled', 'pending', 'loading', 'started', 'waiting')
"""),
        {"queue": queue, "workflow": workflow, "dedup_key": dedup_key},
    ).one_or_none()
    return None if row is None else run_of(row)


def list_runs(
    connection: Connection,
    *,
    queue_patterns: Sequence[str],
    wanted: RunFilter,
    before: UUID | None,
    limit: int,
) -> list[Run]:
    """
    Runs of these queues, newest first.

    Args:
        queue_patterns: What the token covers: exact names, prefixes, or *.
        before: The last id of the previous page.
    """
    statement = (
        select(*(workflow_runs.c[name].label(name) for name in RUN_FIELDS))
        .where(matching(workflow_runs.c, queue_patterns, wanted))
        .order_by(workflow_runs.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(workflow_runs.c.id < before)
    return [run_of(row) for row in connection.execute(statement)]


def newest_id(connection: Connection) -> UUID | None:
    """The newest run's id."""
    newest: UUID | None = connection.execute(
        text('SELECT id FROM "workflowRuns" ORDER BY id DESC LIMIT 1')
    ).scalar_one_or_none()
    return newest

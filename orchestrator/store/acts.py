"""What clients and operators do to runs: abort, retry, resume, resolve.

Each is one compare-and-set on the state. An act with an idempotency key leaves
the key in the event that it causes, with the hash of its body, so that its repeat
is recognised, and told from another act under the same key.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, TextClause

from orchestrator.lifecycle import NEXT_STEP, RunState, WaitingReason
from orchestrator.store.records import Run, run_columns, run_of
from orchestrator.store.sql import text
from orchestrator.store.verdict import FRESH_CLAIM_KEY

# What an act reads of the ledger must be newer than the lock it waited for: a
# sub-select is as old as its statement, so the lock is a statement of its own.
_HOLD = text('SELECT FROM "workflowRuns" WHERE id = :run_id FOR UPDATE')

# Whether the adapter has handed the run out.
_IS_NUMBERED = 'EXISTS (SELECT FROM "compatRuns" n WHERE n."runId" = c.id)'


@dataclass(frozen=True, slots=True)
class Act:
    """
    Who does something to which run, and by which key it can be repeated.

    Attributes:
        body_hash: Of all that was asked; is kept beside the key.
        key_id: Which of the actor's tokens.
    """

    run_id: UUID
    actor: str
    request_id: str | None
    idempotency_key: str | None
    reason: str | None = None
    body_hash: bytes | None = None
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What a key was used for; `body_hash` None: when no hash was kept yet."""

    kind: str
    body_hash: bytes | None


def abort(connection: Connection, act: Act) -> Run | None:
    """
    Abort a run: at once when nobody holds it, else ask its holder to stop.

    A run whose outcome is unknown is left alone: only `resolve` moves it. An abort
    that was requested before is requested again by an act with a key, which is to be
    recognised later, when the run may have been retried.

    Returns:
        None when it is over or its outcome is unknown; without a key also when its
        abort was requested before.
    """
    return _changed(
        connection,
        act,
        _act(
            kind="""CASE WHEN c."leaseId" IS NULL THEN 'aborted' ELSE 'abort-requested' END""",
            guard=f"""r."finishedAt" IS NULL
     AND (r."abortRequestedAt" IS NULL OR CAST(:idempotency_key AS text) IS NOT NULL)
     AND r."waitingFor"->>'reason' IS DISTINCT FROM '{WaitingReason.OUTCOME_UNKNOWN}'""",
            change=f"""
      "runState" = CASE WHEN r."leaseId" IS NULL THEN '{RunState.ABORTED}' ELSE r."runState" END,
      "abortRequestedAt" = coalesce(r."abortRequestedAt", clock_timestamp()),
      "finishedAt" = CASE WHEN r."leaseId" IS NULL THEN clock_timestamp() END,
      "waitingFor" = NULL""",
        ),
    )


def retry(connection: Connection, act: Act) -> Run | None:
    """
    Make a failed or aborted run pending again at the step that failed, budgets unused.

    A mutating step that had begun takes the next stepIndex: a new idempotency
    key, on purpose. So does any step of a run that the adapter has handed out: its
    executor keeps by the index what became of a step, and would not execute it again.

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
            as_=f"CASE WHEN {_IS_NUMBERED} THEN '{NEXT_STEP}' END",
            guard=f"""r."runState" IN ('{RunState.FAILED}', '{RunState.ABORTED}')""",
            change=f"""
      "runState" = '{RunState.PENDING}',
      "stepIndex" = r."stepIndex" + (EXISTS (
        SELECT FROM "runEvents" e WHERE e."runId" = r.id AND e.kind = 'step-started'
           AND (e.detail->>'stepIndex')::integer = r."stepIndex")
        OR {_IS_NUMBERED.replace("c.id", "r.id")})::integer,
      failures = 0, crashes = 0, releases = 0, error = NULL,
      "abortRequestedAt" = NULL, "finishedAt" = NULL,
      "availableAt" = clock_timestamp(), "claimKey" = {FRESH_CLAIM_KEY}""",
        ),
    )


def resume(connection: Connection, act: Act, *, input_json: str, seen_version: int) -> Run | None:
    """
    Give a waiting run its input; it is pending again at the step that asked.

    Args:
        seen_version: The run's version when the input was checked against what it waits for.

    Returns:
        None when the run does not wait for input.
    """
    return _changed(
        connection,
        act,
        _act(
            kind="'resumed'",
            guard=f"""r."runState" = '{RunState.WAITING}'
     AND r."waitingFor"->>'reason' = '{WaitingReason.INPUT}'
     AND r.version = CAST(:seen_version AS bigint)""",
            change=f"""
      "runState" = '{RunState.PENDING}', "waitingFor" = NULL,
      "resumeInput" = CAST(:input AS jsonb),
      "availableAt" = clock_timestamp(), "claimKey" = {FRESH_CLAIM_KEY}""",
        ),
        input=input_json,
        seen_version=seen_version,
    )


# The step that follows the current one, null for none.
_FOLLOWING = """(
    SELECT n.name AS following, w.steps->n.name AS follower
      FROM workflows w
     CROSS JOIN LATERAL (SELECT coalesce(CAST(:next_step AS text),
       w.steps->r."stepName"->'next'->>0)) AS n(name)
     WHERE w.name = r.workflow AND w.version = r."workflowVersion") AS beside"""

_NEXT_IS_OFFERED = """CASE
       WHEN CAST(:next_step AS text) IS NULL THEN jsonb_array_length(coalesce((
         SELECT w.steps->r."stepName"->'next' FROM workflows w
          WHERE w.name = r.workflow AND w.version = r."workflowVersion"), '[]')) <= 1
       ELSE coalesce((
         SELECT w.steps->r."stepName"->'next' ? CAST(:next_step AS text) FROM workflows w
          WHERE w.name = r.workflow AND w.version = r."workflowVersion"), false) END"""

_OUTCOME_UNKNOWN = f"""r."runState" = '{RunState.WAITING}'
     AND r."waitingFor"->>'reason' = '{WaitingReason.OUTCOME_UNKNOWN}'
     AND r.version = coalesce(CAST(:seen_version AS bigint), r.version)"""


def resolve_done(
    connection: Connection,
    act: Act,
    *,
    output_json: str,
    next_step: str | None,
    seen_version: int | None = None,
) -> Run | None:
    """
    Say that a step of unknown outcome was done, with this output; the run goes on from there.

    Args:
        next_step: The next step, when the step offers several.
        seen_version: The run's version when somebody was asked, if that is known; so with
            the other two. At another one it is another step, or another time, that is unknown.

    Returns:
        None when its outcome is not unknown, or the step does not offer that one.
    """
    return _changed(
        connection,
        act,
        _act(
            kind="'resolved'",
            as_="'done'",
            guard=f"{_OUTCOME_UNKNOWN} AND {_NEXT_IS_OFFERED}",
            beside=_FOLLOWING,
            change=f"""
      "runState" = CASE WHEN h.following IS NULL THEN '{RunState.FINISHED}'
        WHEN r."abortRequestedAt" IS NOT NULL THEN '{RunState.ABORTED}'
        ELSE '{RunState.PENDING}' END,
      "waitingFor" = NULL, error = NULL,
      output = CASE WHEN h.following IS NULL
        THEN nullif(CAST(:output AS jsonb), 'null'::jsonb) END,
      "finishedAt" = CASE WHEN h.following IS NULL OR r."abortRequestedAt" IS NOT NULL
        THEN clock_timestamp() END,
      "stepIndex" = r."stepIndex" + (h.following IS NOT NULL)::integer,
      "stepName" = coalesce(h.following, r."stepName"),
      "stepType" = coalesce(h.follower->>'type', r."stepType"),
      "stepQueue" = CASE WHEN h.following IS NULL THEN r."stepQueue"
        ELSE coalesce(h.follower->>'queue', r.queue) END,
      failures = 0, "resumeInput" = NULL,
      "availableAt" = clock_timestamp(), "claimKey" = {FRESH_CLAIM_KEY}""",
            step="""
  UPDATE "workflowSteps" s SET state = 'finished', error = NULL, "finishedAt" = clock_timestamp(),
         output = nullif(CAST(:output AS jsonb), 'null'::jsonb)
    FROM changed c WHERE s."runId" = c.id AND s."stepIndex" = c.step_index""",
        ),
        output=output_json,
        next_step=next_step,
        seen_version=seen_version,
    )


def resolve_run_again(
    connection: Connection, act: Act, *, seen_version: int | None = None
) -> Run | None:
    """Run a step of unknown outcome again under the next stepIndex; None when it is not unknown."""
    return _changed(
        connection,
        act,
        _act(
            kind="'resolved'",
            as_="'run-again'",
            guard=_OUTCOME_UNKNOWN,
            change=f"""
      "runState" = '{RunState.PENDING}', "waitingFor" = NULL, "stepIndex" = r."stepIndex" + 1,
      failures = 0, crashes = 0, releases = 0, error = NULL, "abortRequestedAt" = NULL,
      "availableAt" = clock_timestamp(), "claimKey" = {FRESH_CLAIM_KEY}""",
        ),
        seen_version=seen_version,
    )


def resolve_abort(
    connection: Connection, act: Act, *, seen_version: int | None = None
) -> Run | None:
    """Give up a run whose outcome is unknown; None when it is not unknown."""
    return _changed(
        connection,
        act,
        _act(
            kind="'resolved'",
            as_="'abort'",
            guard=_OUTCOME_UNKNOWN,
            change=f"""
      "runState" = '{RunState.ABORTED}', "waitingFor" = NULL, "finishedAt" = clock_timestamp()""",
        ),
        seen_version=seen_version,
    )


def done_by_key(connection: Connection, act: Act) -> Done | None:
    """What the event that holds this act's key says; None when the ledger has no such key."""
    if act.idempotency_key is None:
        return None
    row = connection.execute(
        text("""
SELECT e.kind, decode(e.detail->>'bodyHash', 'hex') AS body_hash FROM "runEvents" e
 WHERE e."runId" = :run_id AND e.actor = :actor
   AND e.detail->>'idempotencyKey' = :idempotency_key
 LIMIT 1
"""),
        {
            "run_id": act.run_id,
            "actor": act.actor,
            "idempotency_key": act.idempotency_key,
        },
    ).one_or_none()
    return None if row is None else Done(row.kind, row.body_hash and bytes(row.body_hash))


def kind_done_lately(connection: Connection, act: Act) -> str | None:
    """
    The kind of the event that this very request has caused, if it has.

    For an act whose COMMIT was not answered; waits until that transaction has ended.
    """
    connection.execute(_HOLD, {"run_id": act.run_id})
    kind: str | None = connection.execute(
        text("""
SELECT e.kind FROM "runEvents" e
 WHERE e."runId" = :run_id AND e.actor = :actor AND e."requestId" = :request_id
   AND e.at > clock_timestamp() - interval '1 minute'
 ORDER BY e.seq DESC LIMIT 1
"""),
        {"run_id": act.run_id, "actor": act.actor, "request_id": act.request_id},
    ).scalar_one_or_none()
    return kind


def _act(
    *,
    kind: str,
    guard: str,
    change: str,
    as_: str = "NULL",
    step: str = "SELECT FROM changed",
    beside: str = "(SELECT) AS beside",
) -> TextClause:
    """
    One guarded change with its event; a key that the ledger holds changes nothing.

    Args:
        guard, change: Over the run `r`; `change` also over what `beside` gives, as `h`.
        as_: As what a `resolve` says that the step ended, and a retry that it goes on.
        beside: A FROM item, lateral to `r` and of immutable tables only.
    """
    return text(f"""
WITH held AS MATERIALIZED (
  SELECT r.id, r."runState" AS was, r."leaseId" AS lease_id, r."stepIndex" AS step_index, beside.*
    FROM "workflowRuns" r LEFT JOIN LATERAL {beside} ON true
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
  RETURNING r.*, h.was, h.step_index),
stepped AS ({step}),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT c.id, c.version, {kind}, clock_timestamp(), c.was, c."runState", c."leaseId",
         CASE WHEN c."leaseId" IS NOT NULL THEN c.fence END, c."lockedBy",
         CAST(:request_id AS text), CAST(:actor AS text), jsonb_strip_nulls(jsonb_build_object(
           'reason', CAST(:reason AS text), 'stepIndex', c.step_index, 'as', {as_},
           'keyId', CAST(:key_id AS text),
           'idempotencyKey', CAST(:idempotency_key AS text),
           'bodyHash', encode(CAST(:body_hash AS bytea), 'hex')))
    FROM changed c)
SELECT {run_columns("c")} FROM changed c
""")


def _changed(
    connection: Connection, act: Act, statement: TextClause, **values: str | int | None
) -> Run | None:
    connection.execute(_HOLD, {"run_id": act.run_id})
    row = connection.execute(
        statement,
        {
            "run_id": act.run_id,
            "actor": act.actor,
            "request_id": act.request_id,
            "idempotency_key": act.idempotency_key,
            "reason": act.reason,
            "body_hash": act.body_hash,
            "key_id": act.key_id,
            **values,
        },
    ).one_or_none()
    return None if row is None else run_of(row)

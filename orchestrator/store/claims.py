"""Claims: the one way to get a run, whatever state it is in.

No read hands out work. A poll, a claim by id and a claim with the input of a
waiting run differ in how they choose candidates; leasing is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.lifecycle import RunState, WaitingReason
from orchestrator.store.claim_requests import Key
from orchestrator.store.gates import NOT_GATED
from orchestrator.store.hot import hot, together
from orchestrator.store.leases import EXPIRY, OWNED
from orchestrator.store.limits import LIMITED
from orchestrator.store.parked import Parked, refusals_of, refused_by
from orchestrator.store.records import Dispatch, dispatch_columns, dispatch_of, with_definition
from orchestrator.store.sql import text
from orchestrator.store.steps import used_outputs

# A claim stops handing out when its answer passes this; the rest stays pending.
ANSWER_BYTES = 8 * 1024 * 1024

# The fence grows even when a standby that missed the last lease has taken over.
_LEASE = f""""runState" = '{RunState.LOADING}',
      "leaseId" = gen_random_uuid(),
      fence = greatest(r.fence + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint),
      "lockedBy" = d.executor,
      "lockedSession" = d.session,
      "lockedAt" = clock_timestamp(),
      "leaseExpiresAt" = clock_timestamp() + make_interval(secs => d.lease_seconds),
      "leaseSeconds" = d.lease_seconds,
      attempt = r.attempt + 1"""

# Nothing is handed to an executor that an operator drains or holds in quarantine.
_SERVING = """NOT EXISTS (
       SELECT FROM executors e
        WHERE e."fullName" = w.executor AND e.session = w.session AND e.state <> 'active')"""


@dataclass(frozen=True, slots=True)
class ClaimWish:
    """
    What one request wants of one queue.

    Attributes:
        goes_on: The request was granted runs of another queue in this transaction; one
            that was not gets nothing when it turns out to be a repeat.
    """

    request_id: UUID
    token_name: str
    executor: str
    session: UUID
    body_hash: bytes
    lease_seconds: int
    limit: int
    answer_bytes: int = ANSWER_BYTES
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class RunWish:
    """
    A claim of one run by id.

    Attributes:
        input: JSON text, for a run that waits for it.
        seen_version: The run's version when the input was checked against what it
            waits for; None without input.
    """

    request_id: UUID
    token_name: str
    executor: str
    session: UUID
    lease_seconds: int
    run_id: UUID
    input: str | None
    seen_version: int | None = None


class Dealt(NamedTuple):
    """
    A dispatch, for the wish at this place of the list.

    Attributes:
        bytes: Its payloads' size.
        claim_key: Where it stood in its queue.
    """

    wish: int
    dispatch: Dispatch
    bytes: int
    claim_key: datetime


@dataclass(frozen=True, slots=True)
class Claimed:
    """
    What a claim of one queue gave.

    Attributes:
        dealt: In order of claim; fewer than wished when there are no more.
        is_limited: The queue has limits.
        refused: Of those that were parked, who is to get nothing any more.
    """

    dealt: list[Dealt]
    is_limited: bool
    refused: set[Key]


def claim(
    connection: Connection,
    queue: str,
    wishes: Sequence[ClaimWish],
    *,
    from_key: datetime | None = None,
    at_most: int | None = None,
    parked: Sequence[Parked] = (),
) -> Claimed:
    """
    Lease pending runs of one queue, in order of claimKey, dealt out fairly, and keep
    what each request got.

    Nobody gets a second run before everybody has a first. A run whose row
    another transaction holds is skipped, not waited for, and a gated one is not even
    looked at. Nothing comes from a paused queue, or goes to an executor that is
    drained or in quarantine, or to a request that was granted something before:
    that is for its repeat to ask for.

    Nothing comes from a queue with limits either, unless the caller has locked its row
    and says how many they allow.

    Args:
        wishes: Of requests that this transaction has locked, each once.
        from_key: Look no further ahead in the queue than this claimKey.
        at_most: So many and no more; `limits` holds the queue's row.
        parked: Those of the requests that had to wait; whether they were refused meanwhile
            is asked along with the claim, after it.
    """
    # The materialised CTE is the guard against a plan that runs the LIMIT again
    # and claims more; its lock and its WHERE are the guard against a second claim.
    # The ANYs repeat the joins for the planner alone: a plan that does not know the LIMIT
    # expects a tenth of the backlog and would read the whole table. And of NOT EXISTS beside
    # an OR it would make a hash of all that was claimed in a day, for each claim.
    statement = hot(f"""
WITH asked_queue AS MATERIALIZED (
  SELECT coalesce(bool_or(q.paused), false) AS paused,
         coalesce(bool_or({LIMITED}), false) AS limited
    FROM queues q WHERE q.name = :queue),
asked AS MATERIALIZED (
  SELECT w.*
    FROM unnest(CAST(:limits AS integer[]), CAST(:executors AS text[]),
      CAST(:sessions AS uuid[]), CAST(:lease_seconds AS integer[]), CAST(:request_ids AS uuid[]),
      CAST(:token_names AS text[]), CAST(:body_hashes AS bytea[]), CAST(:answer_bytes AS integer[]),
      CAST(:going_on AS boolean[]))
      WITH ORDINALITY AS w(wanted, executor, session, lease_seconds, request_id, token_name,
                           body_hash, answer_bytes, goes_on, wish)
   WHERE {_SERVING}
     AND (w.goes_on OR (SELECT c.at FROM "claimRequests" c
       WHERE c."tokenName" = w.token_name AND c."requestId" = w.request_id) IS NULL)),
wishes AS (
  SELECT a.*, row_number() OVER (ORDER BY turn, a.wish) AS place
    FROM asked a CROSS JOIN LATERAL generate_series(1, a.wanted) AS turn),
candidates AS MATERIALIZED (
  SELECT r.id, r."claimKey",
         octet_length(r.input::text)
           + octet_length(coalesce(r."resumeInput", r.input)::text)
           + CASE WHEN r."stepIndex" = 0 THEN 0 ELSE coalesce((
               SELECT sum(octet_length(s.output::text)) FROM "workflowSteps" s
                WHERE s."runId" = r.id AND s.state = 'finished'), 0) END AS bytes
    FROM "workflowRuns" r
   WHERE r."stepQueue" = :queue AND r."runState" = '{RunState.PENDING}'
     AND r."claimKey" >= CAST(:from_key AS timestamptz) AND {NOT_GATED}
     AND (SELECT NOT q.paused AND (NOT q.limited OR CAST(:at_most AS integer) IS NOT NULL)
            FROM asked_queue q)
   ORDER BY r."claimKey", r.id
   LIMIT (SELECT least(coalesce(sum(wanted), 0), CAST(:at_most AS integer)) FROM asked)
   FOR UPDATE OF r SKIP LOCKED),
numbered AS (
  SELECT id, bytes, row_number() OVER (ORDER BY "claimKey", id) AS place FROM candidates),
dealt AS MATERIALIZED (
  SELECT n.id, n.bytes, w.*,
         sum(n.bytes) OVER (PARTITION BY w.wish ORDER BY w.place) - n.bytes AS bytes_before
    FROM numbered n JOIN wishes w USING (place)),
leased AS (
  UPDATE "workflowRuns" r SET {_LEASE}, version = r.version + 1
    FROM dealt d
   WHERE r.id = d.id AND r."runState" = '{RunState.PENDING}' AND d.bytes_before < d.answer_bytes
     AND r.id = ANY (ARRAY(SELECT id FROM dealt))
  RETURNING r.*, d.wish, d.place, d.bytes, d.request_id, d.token_name, d.body_hash, d.goes_on),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version, 'claimed', "lockedAt", '{RunState.PENDING}', "runState", "leaseId", fence,
         "lockedBy", request_id::text, token_name, '{{}}'
    FROM leased),
granted AS (
  SELECT token_name, request_id, "lockedSession" AS session, body_hash, goes_on,
         array_agg(id ORDER BY place) AS run_ids, array_agg("leaseId" ORDER BY place) AS lease_ids
    FROM leased GROUP BY token_name, request_id, "lockedSession", body_hash, goes_on),
kept AS (
  INSERT INTO "claimRequests" ("tokenName", "requestId", session, "bodyHash", at, "runIds",
                               "leaseIds")
  SELECT token_name, request_id, session, body_hash, clock_timestamp(), run_ids, lease_ids
    FROM granted WHERE NOT goes_on ORDER BY token_name, request_id),
kept_on AS (
  UPDATE "claimRequests" c SET "runIds" = c."runIds" || g.run_ids,
         "leaseIds" = c."leaseIds" || g.lease_ids
    FROM granted g
   WHERE g.goes_on AND c."tokenName" = g.token_name AND c."requestId" = g.request_id
     AND c."tokenName" = ANY (ARRAY(SELECT token_name FROM granted WHERE goes_on))
     AND c."requestId" = ANY (ARRAY(SELECT request_id FROM granted WHERE goes_on)))
SELECT q.limited, l.wish, l.bytes, l."claimKey", {dispatch_columns("l")}
  FROM asked_queue q LEFT JOIN ({with_definition("leased", "l")}) ON true
 ORDER BY l.place
""")
    values = {
        "queue": queue,
        "from_key": "-infinity" if from_key is None else from_key.isoformat(),
        "at_most": at_most,
        "limits": [wish.limit for wish in wishes],
        "executors": [wish.executor for wish in wishes],
        "sessions": [wish.session for wish in wishes],
        "lease_seconds": [wish.lease_seconds for wish in wishes],
        "request_ids": [wish.request_id for wish in wishes],
        "token_names": [wish.token_name for wish in wishes],
        "body_hashes": [wish.body_hash for wish in wishes],
        "answer_bytes": [wish.answer_bytes for wish in wishes],
        "going_on": [wish.goes_on for wish in wishes],
    }
    refusals = [refusals_of(parked)] if parked else []
    rows, *refused = together(connection, [(statement, values), *refusals])
    # When there is nothing, one row says so.
    got = [row for row in rows if row[1] is not None]
    dispatches = _with_outputs(connection, [dispatch_of(row) for row in got])
    return Claimed(
        dealt=[
            Dealt(wish - 1, dispatch, size, claim_key)
            for (_, wish, size, claim_key, *_), dispatch in zip(got, dispatches, strict=True)
        ],
        is_limited=rows[0][0],
        refused=refused_by(refused[0]) if refused else set(),
    )


def first_keys(connection: Connection, queues: Sequence[str]) -> dict[str, datetime]:
    """The claimKey of the first run that can be claimed, of those queues that have one."""
    rows = connection.execute(
        text(f"""
SELECT q.name, first."claimKey"
  FROM unnest(CAST(:queues AS text[])) AS q(name)
 CROSS JOIN LATERAL (
   SELECT r."claimKey" FROM "workflowRuns" r
    WHERE r."stepQueue" = q.name AND r."runState" = '{RunState.PENDING}' AND {NOT_GATED}
    ORDER BY r."claimKey", r.id LIMIT 1) first
"""),
        {"queues": list(queues)},
    )
    return {row[0]: row[1] for row in rows}


def claim_run(
    connection: Connection, wish: RunWish, *, within_limits_of: str | None = None
) -> Dispatch | None:
    """
    Lease one run by id: a pending one, or a waiting one together with its input.

    A waiting run goes to loading in the same UPDATE that stores the input; the
    ledger gets both events. The row is waited for, not skipped: whoever comes
    second sees what the first one made of it.

    Args:
        within_limits_of: The queue that allows one more; from any other that has limits
            nothing comes.

    Returns:
        None when the run cannot be claimed so; the caller words the refusal.
    """
    row = connection.execute(
        text(f"""
WITH candidates AS MATERIALIZED (
  SELECT r.id, r."runState" AS was
    FROM "workflowRuns" r
   WHERE r.id = :run_id
     AND CASE WHEN CAST(:input AS text) IS NULL
         THEN r."runState" = '{RunState.PENDING}' AND {NOT_GATED}
         ELSE r."runState" = '{RunState.WAITING}'
              AND r."waitingFor"->>'reason' = '{WaitingReason.INPUT}'
              AND r.version = CAST(:seen_version AS bigint) END
     AND NOT EXISTS (
       SELECT FROM queues q
        WHERE q.name = r."stepQueue" AND (q.paused
           OR ({LIMITED} AND q.name IS DISTINCT FROM CAST(:within_limits_of AS text))))
   FOR UPDATE OF r),
dealt AS (
  SELECT c.*, w.*
    FROM candidates c
   CROSS JOIN (SELECT CAST(:executor AS text) AS executor, CAST(:session AS uuid) AS session,
                      CAST(:lease_seconds AS integer) AS lease_seconds) w
   WHERE {_SERVING}),
leased AS (
  UPDATE "workflowRuns" r SET {_LEASE},
      "waitingFor" = NULL,
      "availableAt" = CASE d.was WHEN '{RunState.WAITING}' THEN clock_timestamp()
                      ELSE r."availableAt" END,
      "resumeInput" = CASE d.was WHEN '{RunState.WAITING}' THEN CAST(:input AS jsonb)
                      ELSE r."resumeInput" END,
      version = r.version + CASE d.was WHEN '{RunState.WAITING}' THEN 2 ELSE 1 END
    FROM dealt d
   WHERE r.id = d.id AND r."runState" = d.was
  RETURNING r.*, d.was),
noted AS (
  INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", "leaseId", fence,
                           executor, "requestId", actor, detail)
  SELECT id, version - 1, 'resumed', "lockedAt", was, '{RunState.PENDING}', NULL, NULL, NULL,
         :request_id, :token_name, jsonb_build_object('stepIndex', "stepIndex")
    FROM leased WHERE was = '{RunState.WAITING}'
  UNION ALL
  SELECT id, version, 'claimed', "lockedAt", '{RunState.PENDING}', "runState", "leaseId", fence,
         "lockedBy", :request_id, :token_name, '{{}}'
    FROM leased)
SELECT {dispatch_columns("l")} FROM {with_definition("leased", "l")}
"""),
        {
            "run_id": wish.run_id,
            "within_limits_of": within_limits_of,
            "input": wish.input,
            "seen_version": wish.seen_version,
            "executor": wish.executor,
            "session": wish.session,
            "lease_seconds": wish.lease_seconds,
            "request_id": str(wish.request_id),
            "token_name": wish.token_name,
        },
    ).one_or_none()
    return None if row is None else _with_outputs(connection, [dispatch_of(row)])[0]


def still_held(
    connection: Connection,
    *,
    token_name: str,
    run_ids: Sequence[UUID],
    lease_ids: Sequence[UUID],
    lease_seconds: int,
) -> list[Dispatch]:
    """
    What a repeated claim gets: the leases of the first one that still live, refreshed.

    Returns:
        The runs at their present step, in the order they were first handed out.
    """
    rows = connection.execute(
        text(f"""
WITH granted AS (
  SELECT * FROM unnest(CAST(:run_ids AS uuid[]), CAST(:lease_ids AS uuid[]))
    WITH ORDINALITY AS g(run_id, lease_id, place)),
held AS MATERIALIZED (
  SELECT g.* FROM granted g JOIN "workflowRuns" r ON r.id = g.run_id
   WHERE r."leaseId" = g.lease_id AND {OWNED} = :token_name
   ORDER BY r.id FOR UPDATE OF r),
refreshed AS (
  UPDATE "workflowRuns" r SET
      "leaseExpiresAt" = {EXPIRY.format(seconds="CAST(:lease_seconds AS integer)")}
    FROM held h
   WHERE r.id = h.run_id AND r."leaseId" = h.lease_id
  RETURNING r.*, h.place)
SELECT {dispatch_columns("f")} FROM {with_definition("refreshed", "f")} ORDER BY f.place
"""),
        {
            "token_name": token_name,
            "run_ids": list(run_ids),
            "lease_ids": list(lease_ids),
            "lease_seconds": lease_seconds,
        },
    )
    return _with_outputs(connection, [dispatch_of(row) for row in rows])


def held_dispatches(
    connection: Connection, *, run_ids: Sequence[UUID], lease_ids: Sequence[UUID]
) -> dict[UUID, Dispatch]:
    """
    The present dispatches of runs under these leases, by run.

    A run that another lease holds by now is left out: what it is handed out under is
    nobody's business but its holder's.
    """
    rows = connection.execute(
        text(f"""
SELECT {dispatch_columns("r")} FROM {with_definition('"workflowRuns"', "r")}
  JOIN unnest(CAST(:run_ids AS uuid[]), CAST(:lease_ids AS uuid[])) AS n(run_id, lease_id)
    ON n.run_id = r.id AND n.lease_id = r."leaseId"
"""),
        {"run_ids": list(run_ids), "lease_ids": list(lease_ids)},
    )
    found = _with_outputs(connection, [dispatch_of(row) for row in rows])
    return {dispatch.run.id: dispatch for dispatch in found}


def _with_outputs(connection: Connection, dispatches: Sequence[Dispatch]) -> list[Dispatch]:
    """The dispatches with what their steps use; a first step uses nothing and costs nothing."""
    later = [dispatch.run.id for dispatch in dispatches if dispatch.run.step_index > 0]
    if not later:
        return list(dispatches)
    outputs = used_outputs(connection, later)
    return [each._replace(outputs=outputs.get(each.run.id)) for each in dispatches]

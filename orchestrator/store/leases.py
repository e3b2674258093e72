"""Leases: keep them, give them back, take them away.

Every write requires that the row still holds the lease and that it was granted
to the caller's token. Time only allows the keeper to take a lease away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.lifecycle import Ending, RunState
from orchestrator.store.sql import text
from orchestrator.store.verdict import EndedLease, end_leases, ended, ending_columns

# Whether the row's lease was granted to the token that asks. A full name is
# <token's name>[:<instance>], and no name has a colon.
OWNED = """split_part(r."lockedBy", ':', 1)"""

# An aborted run's lease goes on for one lease after the request, no longer.
EXPIRY = """least(clock_timestamp() + make_interval(secs => {seconds}),
        r."abortRequestedAt" + make_interval(secs => r."leaseSeconds"))"""

DRAINING = "draining"

# After an outage live executors get one whole lease to renew before anything is
# taken from them. A keeper that has not ticked lately has not noticed an outage yet.
_AMNESTY_OVER = """NOT EXISTS (
       SELECT FROM keeper k
        WHERE k."amnestySince" + make_interval(secs => r."leaseSeconds") > clock_timestamp())"""
_KEEPER_AWAKE = """EXISTS (
       SELECT FROM keeper k
        WHERE k."lastTickAt" BETWEEN clock_timestamp() - interval '5 seconds'
                                 AND clock_timestamp() + interval '1 second')"""

# A clock that stepped back leaves times behind that no write could have meant.
_FURTHEST_EXPIRY = """clock_timestamp() + 2 * make_interval(secs => r."leaseSeconds")"""
_TOO_FAR_AHEAD = f"""r."leaseId" IS NOT NULL
     AND (r."leaseExpiresAt" > {_FURTHEST_EXPIRY} OR r."abortRequestedAt" > clock_timestamp())"""


def _orphan(*, session: str, holder: str, as_of: str, named: str, claiming: str) -> str:
    """
    A lease that nobody can know he holds, as a condition on `"workflowRuns" r`.

    What it means stands at `release_orphans`. The arguments are SQL expressions; `holder` is
    the name of the session's token, `named` and `claiming` are of uuid[].
    """
    return f"""r."leaseId" IS NOT NULL AND r."lockedSession" = {session}
     AND {OWNED} = {holder}
     AND r."runState" = '{RunState.LOADING}'
     AND r."lockedAt" < {as_of} AND {as_of} <= clock_timestamp()
     AND r."leaseId" <> ALL ({named})
     AND NOT EXISTS (
       SELECT FROM "claimRequests" c
        WHERE c."tokenName" = {holder} AND c."requestId" = ANY ({claiming})
          AND r."leaseId" = ANY (c."leaseIds"))"""


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


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What one session says it waits for, and since when it can be believed.

    `as_of` is the server time of the last renewal answer that the executor had
    received when it composed the request.
    """

    token_name: str
    session: UUID
    claiming: tuple[UUID, ...]
    as_of: datetime
    request_id: str | None = None


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


def release(
    connection: Connection, held: Sequence[HeldLease], *, reason: str, skip_locked: bool = False
) -> list[EndedLease]:
    """
    Give leases back unfinished.

    Costs none of a run's budgets, but a reason other than draining makes it
    wait for a growing pause, and the twentieth such release in a row fails it.

    Args:
        held: At most one entry for each lease.
        reason: Goes to the ledger as it is.
        skip_locked: As in `renew`.

    Returns:
        What became of their runs; a lease that is missing is lost.
    """
    statement = end_leases(f"""
  SELECT r.*, {
        ending_columns(
            Ending.RELEASED,
            reason="CAST(:reason AS text)",
            unwanted=f"CAST(:reason AS text) <> '{DRAINING}'",
            request_id="n.request_id",
            actor="n.token_name",
        )
    }
    FROM unnest(CAST(:token_names AS text[]), CAST(:run_ids AS uuid[]),
      CAST(:lease_ids AS uuid[]), CAST(:request_ids AS text[]))
      AS n(token_name, run_id, lease_id, request_id)
    JOIN "workflowRuns" r ON r.id = n.run_id
   WHERE r."leaseId" = n.lease_id AND {OWNED} = n.token_name
   ORDER BY r.id FOR UPDATE OF r{" SKIP LOCKED" if skip_locked else ""}""")
    return ended(
        connection,
        statement,
        {
            "reason": reason,
            "token_names": [lease.token_name for lease in held],
            "run_ids": [lease.run_id for lease in held],
            "lease_ids": [lease.lease_id for lease in held],
            "request_ids": [lease.request_id for lease in held],
        },
    )


def released_lately(connection: Connection, held: Sequence[HeldLease]) -> dict[UUID, UUID]:
    """
    The leases that these very requests have given back, each with its run.

    For a release whose COMMIT was not answered.
    """
    rows = connection.execute(
        text(f"""
SELECT e."leaseId", e."runId"
  FROM unnest(CAST(:token_names AS text[]), CAST(:run_ids AS uuid[]),
    CAST(:lease_ids AS uuid[]), CAST(:request_ids AS text[]))
    AS n(token_name, run_id, lease_id, request_id)
  JOIN "runEvents" e ON e."runId" = n.run_id AND e."leaseId" = n.lease_id
   AND e.kind = '{Ending.RELEASED}' AND e."requestId" = n.request_id AND e.actor = n.token_name
"""),
        {
            "token_names": [lease.token_name for lease in held],
            "run_ids": [lease.run_id for lease in held],
            "lease_ids": [lease.lease_id for lease in held],
            "request_ids": [lease.request_id for lease in held],
        },
    )
    return {row[0]: row[1] for row in rows}


def release_orphans(
    connection: Connection, reconciliation: Reconciliation, *, named: Sequence[UUID]
) -> list[EndedLease]:
    """
    Free the leases of lost claim replies.

    An orphan is a lease of this session that is still loading, is not named,
    does not come from a claim that the executor waits for, and was granted
    before `as_of`. Right under every delay, repeat and order of heartbeats: a
    claim sent after this request was composed is granted after `as_of`, unless
    the clock stepped back in between; an `as_of` that is yet to come tells so.

    Args:
        named: Every lease id that the executor named.
    """
    statement = end_leases(f"""
  SELECT r.*, {
        ending_columns(
            Ending.ORPHANED,
            request_id="CAST(:request_id AS text)",
            actor="CAST(:token_name AS text)",
        )
    }
    FROM "workflowRuns" r
   WHERE {
        _orphan(
            session=":session",
            holder=":token_name",
            as_of=":as_of",
            named="CAST(:named AS uuid[])",
            claiming="CAST(:claiming AS uuid[])",
        )
    }
     AND {_AMNESTY_OVER}
     AND {_KEEPER_AWAKE}
   ORDER BY r.id FOR UPDATE OF r SKIP LOCKED""")
    return ended(
        connection,
        statement,
        {
            "token_name": reconciliation.token_name,
            "session": reconciliation.session,
            "as_of": reconciliation.as_of,
            "claiming": list(reconciliation.claiming),
            "named": list(named),
            "request_id": reconciliation.request_id,
        },
    )


def with_orphans(
    connection: Connection, said: Sequence[tuple[Reconciliation, Sequence[UUID]]]
) -> set[int]:
    """
    The places of those sessions that have orphans, to be freed or not yet.

    Args:
        said: What each session says, and every lease id that it named.
    """
    rows = connection.execute(
        text(f"""
WITH said AS (
  SELECT * FROM unnest(CAST(:token_names AS text[]), CAST(:sessions AS uuid[]),
    CAST(:as_ofs AS timestamptz[]))
    WITH ORDINALITY AS s(token_name, session, as_of, place)),
named AS (
  SELECT * FROM unnest(CAST(:named_by AS integer[]), CAST(:named AS uuid[])) AS n(place, id)),
claiming AS (
  SELECT * FROM unnest(CAST(:claimed_by AS integer[]), CAST(:claiming AS uuid[])) AS c(place, id))
SELECT s.place - 1 FROM said s
 WHERE EXISTS (
   SELECT FROM "workflowRuns" r
    WHERE {
            _orphan(
                session="s.session",
                holder="s.token_name",
                as_of="s.as_of",
                named="ARRAY(SELECT n.id FROM named n WHERE n.place = s.place)",
                claiming="ARRAY(SELECT l.id FROM claiming l WHERE l.place = s.place)",
            )
        })
"""),
        {
            "token_names": [each.token_name for each, _ in said],
            "sessions": [each.session for each, _ in said],
            "as_ofs": [each.as_of for each, _ in said],
            "named_by": [place for place, (_, ids) in enumerate(said, 1) for _ in ids],
            "named": [one for _, ids in said for one in ids],
            "claimed_by": [place for place, (each, _) in enumerate(said, 1) for _ in each.claiming],
            "claiming": [one for each, _ in said for one in each.claiming],
        },
    )
    return set(rows.scalars())


def release_replaced(
    connection: Connection, *, executor: str, session: UUID, request_id: str | None, actor: str
) -> list[EndedLease]:
    """
    End every lease of this executor's other sessions as a crash, at once.

    A session that registered after this one is its successor: a late copy of a
    registration takes nothing from it.
    """
    statement = end_leases(f"""
  SELECT r.*, {
        ending_columns(
            Ending.REPLACED,
            request_id="CAST(:request_id AS text)",
            actor="CAST(:actor AS text)",
        )
    }
    FROM "workflowRuns" r
   WHERE r."leaseId" IS NOT NULL AND r."lockedSession" <> :session AND r."lockedBy" = :executor
     AND NOT EXISTS (
       SELECT FROM executors newer JOIN executors own USING ("fullName")
        WHERE own."fullName" = :executor AND own.session = :session
          AND newer.session = r."lockedSession" AND newer."registeredAt" > own."registeredAt")
   ORDER BY r.id FOR UPDATE OF r""")
    return ended(
        connection,
        statement,
        {"executor": executor, "session": session, "request_id": request_id, "actor": actor},
    )


def count_live(connection: Connection) -> int:
    """How many leases there are."""
    return int(
        connection.execute(
            text("""
SELECT count(*) FROM "workflowRuns" WHERE "leaseId" IS NOT NULL
""")
        ).scalar_one()
    )


def revoke(connection: Connection, *, after: UUID | None, limit: int) -> list[EndedLease]:
    """
    End leases whoever holds them, without cost to their runs' budgets.

    One pass along the ids ends every lease that lived when it began, also
    while others are granted. A row that is locked is waited for: none is missed.
    The ledger names the database's login, which no token's name can be taken for.

    Args:
        after: The last run of the batch before; None for the first.

    Returns:
        What became of their runs, in order of id; fewer than `limit`: the pass is over.
    """
    statement = end_leases(f"""
  SELECT r.*, {ending_columns(Ending.REVOKED, actor="'database:' || session_user")}
    FROM "workflowRuns" r
   WHERE r."leaseId" IS NOT NULL AND (CAST(:after AS uuid) IS NULL OR r.id > :after)
   ORDER BY r.id LIMIT :limit FOR UPDATE OF r""")
    return ended(connection, statement, {"after": after, "limit": limit})


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


def expire(
    connection: Connection, *, since: datetime, limit: int, only: UUID | None = None
) -> list[EndedLease]:
    """
    Take expired leases back, with their budget of crashes.

    Nothing is taken between a jump of the clock, or the end of an outage, and the
    keeper's tick that notices it: it would be taken from living holders. A server
    that hangs in the middle of this takes what had expired when it began.

    Args:
        since: When the present tick began: what a session loses in it is one incident.
        limit: At most this many in one statement.
        only: This run alone; for when one bad row fails a batch.
    """
    statement = end_leases(f"""
  SELECT r.*, {ending_columns(Ending.EXPIRED, incident_since="CAST(:since AS timestamptz)")}
    FROM "workflowRuns" r
   WHERE r."leaseId" IS NOT NULL AND r."leaseExpiresAt" < statement_timestamp()
     AND (CAST(:only AS uuid) IS NULL OR r.id = :only)
     AND {_AMNESTY_OVER}
     AND {_KEEPER_AWAKE}
   ORDER BY r.id LIMIT :limit FOR UPDATE OF r SKIP LOCKED""")
    return ended(connection, statement, {"only": only, "limit": limit, "since": since})


def expired_run_ids(connection: Connection, *, limit: int) -> list[UUID]:
    """Runs whose lease has expired, without locking them; `expire` decides again."""
    rows = connection.execute(
        text(f"""
SELECT r.id FROM "workflowRuns" r
 WHERE r."leaseId" IS NOT NULL AND r."leaseExpiresAt" < clock_timestamp() AND {_AMNESTY_OVER}
 ORDER BY r.id LIMIT :limit
"""),
        {"limit": limit},
    )
    return list(rows.scalars())


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

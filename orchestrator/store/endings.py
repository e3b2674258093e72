"""How leases end without a report: given back, expired, replaced, revoked.

What becomes of the run is decided by the one verdict. A lease that is given back was
granted to the caller's token; time only allows the keeper to take one away.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.lifecycle import Ending
from orchestrator.store.leases import OWNED, HeldLease
from orchestrator.store.sql import text
from orchestrator.store.verdict import EndedLease, end_leases, ended, ending_columns

# Reasons that say something of the executor and nothing of the run: it is drained, or has claimed
# ahead and found no slot free.
BLAMELESS = ("draining", "no-slot")

# After an outage live executors get one whole lease to renew before anything is
# taken from them. A keeper that has not ticked lately has not noticed an outage yet.
AMNESTY_OVER = """NOT EXISTS (
       SELECT FROM keeper k
        WHERE k."amnestySince" + make_interval(secs => r."leaseSeconds") > clock_timestamp())"""
KEEPER_AWAKE = """EXISTS (
       SELECT FROM keeper k
        WHERE k."lastTickAt" BETWEEN clock_timestamp() - interval '5 seconds'
                                 AND clock_timestamp() + interval '1 second')"""


def release(
    connection: Connection, held: Sequence[HeldLease], *, reason: str, skip_locked: bool = False
) -> list[EndedLease]:
    """
    Give leases back unfinished.

    Costs none of a run's budgets, but a reason that is not `BLAMELESS` makes it
    wait for a growing pause, and the twentieth such release in a row fails it.

    Args:
        held: At most one entry for each lease and token.
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
            unwanted=f"CAST(:reason AS text) NOT IN {BLAMELESS}",
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


def released_lately(
    connection: Connection, held: Sequence[HeldLease]
) -> dict[tuple[str, UUID], UUID]:
    """
    The leases that these very requests have given back, each with its token's name and its run.

    For a release whose COMMIT was not answered.
    """
    rows = connection.execute(
        text(f"""
SELECT e.actor, e."leaseId", e."runId"
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
    return {(row[0], row[1]): row[2] for row in rows}


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
     AND {AMNESTY_OVER}
     AND {KEEPER_AWAKE}
   ORDER BY r.id LIMIT :limit FOR UPDATE OF r SKIP LOCKED""")
    return ended(connection, statement, {"only": only, "limit": limit, "since": since})


def expired_run_ids(connection: Connection, *, limit: int) -> list[UUID]:
    """Runs whose lease has expired, without locking them; `expire` decides again."""
    rows = connection.execute(
        text(f"""
SELECT r.id FROM "workflowRuns" r
 WHERE r."leaseId" IS NOT NULL AND r."leaseExpiresAt" < clock_timestamp() AND {AMNESTY_OVER}
 ORDER BY r.id LIMIT :limit
"""),
        {"limit": limit},
    )
    return list(rows.scalars())


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

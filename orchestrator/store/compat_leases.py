"""How leases end of which the adapter's executors say nothing: by what else they ask.

Such an executor cannot renew, nor give a run back. But it executes what it polled before
it polls again, and says once when its process has started. So a later poll of its, or a
new start, tells what it has dropped.

What it asks may come late: it is not always waited for, and sent again. So no lease that
is younger than `YOUNG_SECONDS` is ended by it, and none that was handed to another address.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.lifecycle import Ending, RunState
from orchestrator.store.endings import AMNESTY_OVER, KEEPER_AWAKE
from orchestrator.store.sql import text
from orchestrator.store.verdict import EndedLease, end_leases, ended, ending_columns

# How long a lease lasts until the executor gives a first sign of life under it.
FIRST_SIGN_SECONDS: Final = 20
YOUNG_SECONDS: Final = 15
DROPPED: Final = "dropped"

# The leases that this executor was handed at this address. Its sessions are named for the
# index's sake; who holds a lease is registered.
_HANDED = """"workflowRuns" r
    JOIN "compatRuns" c ON c."runId" = r.id AND c."leaseId" = r."leaseId"
   WHERE r."leaseId" IS NOT NULL AND r."lockedBy" = :executor AND c.address = :address
     AND r."lockedSession" = ANY (ARRAY(
       SELECT e.session FROM executors e WHERE e."fullName" = :executor))"""

_OLD = f"""r."lockedAt" < clock_timestamp() - interval '{YOUNG_SECONDS} seconds'"""
# The copies of one start may come for so long. Nothing that was granted since the first of
# them is from before the start.
_COPIES_SECONDS: Final = 60
_BEFORE_THE_START = f"""{_OLD} AND r."lockedAt" < (
       SELECT min(e."registeredAt") FROM executors e
        WHERE e."fullName" = :executor
          AND e."registeredAt" > clock_timestamp() - interval '{_COPIES_SECONDS} seconds')"""
_UNREPORTED = """(c.polled
          AND (r."stepIndex" = c."stepIndex" OR r."lockedSession" <> :session))"""
_WITHOUT_A_SIGN = f"""(r."runState" = '{RunState.LOADING}'
          AND r."leaseSeconds" = {FIRST_SIGN_SECONDS})"""


def end_dropped(
    connection: Connection, *, executor: str, session: UUID, address: str, request_id: str
) -> list[EndedLease]:
    """
    End what an executor has dropped, now that it polls again.

    What it had got by a poll and never reported it has released: its run comes back after a
    growing pause, so that one on which it always fails without a word does not circle. Of
    which it has reported a step it may be executing the next, unless it has started anew. So
    it may what was asked for by number, which is an orphan when there was no sign of it at all.

    Args:
        executor: Its full name.
        session: Its present start.
        address: Where it polls from.
    """
    statement = end_leases(f"""
  SELECT r.*, CASE WHEN c.polled THEN '{Ending.RELEASED}' ELSE '{Ending.ORPHANED}' END AS ending,
         false AS crashed, c.polled AS unwanted, CASE WHEN c.polled THEN '{DROPPED}' END AS reason,
         CAST(:request_id AS text) AS request_id, CAST(:executor AS text) AS actor,
         clock_timestamp() AS incident_since
    FROM {_HANDED}
     AND {_OLD}
     AND ({_UNREPORTED} OR {_WITHOUT_A_SIGN})
     AND {AMNESTY_OVER}
     AND {KEEPER_AWAKE}
   ORDER BY r.id FOR UPDATE OF r SKIP LOCKED""")
    return ended(
        connection,
        statement,
        {
            "executor": executor,
            "session": session,
            "address": address,
            "request_id": request_id,
        },
    )


def end_replaced(
    connection: Connection, *, executor: str, address: str, request_id: str
) -> list[EndedLease]:
    """
    End what an executor held before its process started anew, as a crash.

    The start is registered before.
    """
    statement = end_leases(f"""
  SELECT r.*, {
        ending_columns(
            Ending.REPLACED,
            request_id="CAST(:request_id AS text)",
            actor="CAST(:executor AS text)",
        )
    }
    FROM {_HANDED}
     AND {_BEFORE_THE_START}
   ORDER BY r.id FOR UPDATE OF r""")
    return ended(
        connection,
        statement,
        {"executor": executor, "address": address, "request_id": request_id},
    )


def expect_a_sign(connection: Connection, *, executor: str, address: str) -> None:
    """
    Let what an executor that has started anew still holds end soon, unless it gives a sign.

    It may be the new process's own: then its next sign makes the lease long again. One whose
    step has begun to act is left alone, and so is one of which no sign is to be expected.
    """
    connection.execute(
        text(f"""
WITH held AS MATERIALIZED (
  SELECT r.id, r."leaseId" FROM {_HANDED} AND r."mutatingSince" IS NULL
     AND (r."runState" = '{RunState.STARTED}' OR {_WITHOUT_A_SIGN})
   ORDER BY r.id FOR UPDATE OF r SKIP LOCKED)
UPDATE "workflowRuns" r SET "leaseExpiresAt" = least(r."leaseExpiresAt",
       clock_timestamp() + interval '{FIRST_SIGN_SECONDS} seconds')
  FROM held h WHERE r.id = h.id AND r."leaseId" = h."leaseId"
"""),
        {"executor": executor, "address": address},
    )

"""Sessions that lost a lease: whoever asked before that is presumed dead.

How often a session lost leases is counted beside, and a success of its own sets
the count back (`reports.report`); the fifth time it is put in quarantine.

A process that is killed leaves its claim parked here. Its leases expire, and
what it held would go straight back to that claim. So the statement that takes a
lease away writes down whose it was (`verdict.end_leases`), and a claim that was
parked before gets nothing. A request that comes afterwards is a sign of life.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store.sql import text

KEEP_HOURS = 24


def lost_while_waiting(connection: Connection, session: UUID, *, waited_seconds: float) -> bool:
    """
    Whether a session has lost a lease since it asked.

    To be asked after the claim, in its transaction: a run that came back from a
    lost lease became visible together with the line that says whose it was. A loss
    that is yet to come was noted before the clock stepped back: it says nothing.
    """
    return bool(
        connection.execute(
            text("""
SELECT EXISTS (SELECT FROM "lostSessions" l
  WHERE l.session = :session
    AND l.at BETWEEN clock_timestamp() - make_interval(secs => :waited_seconds)
                 AND clock_timestamp())
"""),
            {"session": session, "waited_seconds": waited_seconds},
        ).scalar_one()
    )


def forgive(connection: Connection, executor: str) -> None:
    """Count an executor's incidents from none again."""
    connection.execute(
        text("""
UPDATE "lostSessions" SET incidents = 0 WHERE executor = :executor AND incidents > 0
"""),
        {"executor": executor},
    )


def drop_old(connection: Connection) -> int:
    """Forget what no parked claim can be older than; returns how many."""
    return connection.execute(
        text(f"""
DELETE FROM "lostSessions" WHERE at < clock_timestamp() - interval '{KEEP_HOURS} hours'
""")
    ).rowcount

"""The processes that lost leases: when they last did, and how often without a success between.

A process is an executor's full name with its session. The statement that takes
leases away writes down whose they were (`verdict.end_leases`); the fifth time it
puts the process in quarantine. A success sets the number back (`reports.report`).

When says something else: a process that is killed leaves its claim parked here.
Its leases expire, and what it held would go straight back to that claim. So a
claim that was parked before gets nothing; whoever asks afterwards lives.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store.sql import text

KEEP_HOURS = 24


def lost_while_waiting(
    connection: Connection, executor: str, session: UUID, *, waited_seconds: float
) -> bool:
    """
    Whether a process has lost a lease since it asked.

    To be asked after the claim, in its transaction: a run that came back from a
    lost lease became visible together with the line that says whose it was. A loss
    that is yet to come was noted before the clock stepped back: it says nothing.
    """
    return bool(
        connection.execute(
            text("""
SELECT EXISTS (SELECT FROM incidents i
  WHERE i.executor = :executor AND i.session = :session
    AND i.at BETWEEN clock_timestamp() - make_interval(secs => :waited_seconds)
                 AND clock_timestamp())
"""),
            {"executor": executor, "session": session, "waited_seconds": waited_seconds},
        ).scalar_one()
    )


def forgive(connection: Connection, executor: str) -> None:
    """Count an executor's incidents from none again."""
    connection.execute(
        text("""
UPDATE incidents SET number = 0 WHERE executor = :executor AND number > 0
"""),
        {"executor": executor},
    )


def drop_old(connection: Connection) -> int:
    """Forget what is older than a day, and than every parked claim; returns how many."""
    return connection.execute(
        text(f"""
DELETE FROM incidents WHERE at < clock_timestamp() - interval '{KEEP_HOURS} hours'
""")
    ).rowcount

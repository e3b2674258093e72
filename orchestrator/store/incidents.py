"""The processes that lost leases: when they last did, and how often without a success between.

A process is an executor's full name with its session. The statement that takes
leases away writes down whose they were (`verdict.end_leases`); the fifth time it
puts the process in quarantine. A success sets the number back (`reports.report`).

When says something else: a process that is killed leaves its claim parked here.
Its leases expire, and what it held would go straight back to that claim. So a
claim that was parked before gets nothing; whoever asks afterwards lives.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store.sql import text

KEEP_HOURS = 24

Process = tuple[str, UUID]
"""One start of an executor: its full name, and its session."""


def lost_while_waiting(
    connection: Connection, waited_seconds: Mapping[Process, float]
) -> set[Process]:
    """
    Those of these processes that have lost a lease since they asked, so many seconds ago.

    To be asked after the claim, in its transaction: a run that came back from a
    lost lease became visible together with the line that says whose it was. A loss
    that is yet to come was noted before the clock stepped back: it says nothing.
    """
    rows = connection.execute(
        text("""
SELECT i.executor, i.session
  FROM unnest(CAST(:executors AS text[]), CAST(:sessions AS uuid[]),
    CAST(:waited_seconds AS double precision[])) AS w(executor, session, waited_seconds)
  JOIN incidents i ON i.executor = w.executor AND i.session = w.session
   AND i.at BETWEEN clock_timestamp() - make_interval(secs => w.waited_seconds)
                AND clock_timestamp()
"""),
        {
            "executors": [executor for executor, _ in waited_seconds],
            "sessions": [session for _, session in waited_seconds],
            "waited_seconds": list(waited_seconds.values()),
        },
    )
    return {(row[0], row[1]) for row in rows}


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

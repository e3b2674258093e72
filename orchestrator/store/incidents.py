"""The processes that lost leases: when they last did, and how often without a success between.

A process is an executor's full name with its session. The statement that takes
leases away writes down whose they were (`verdict.end_leases`); the fifth time it
puts the process in quarantine. A success sets the number back (`reports.report`).

When says something else: a process that is killed leaves its claim parked here.
Its leases expire, and what it held would go straight back to that claim. So a
claim that was parked before gets nothing (`parked.refused_meanwhile`); whoever asks
afterwards lives.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store.sql import text

KEEP_HOURS = 24

Process = tuple[str, UUID]
"""One start of an executor: its full name, and its session."""


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

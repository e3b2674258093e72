"""Sessions that lost a lease: whoever asked before that is presumed dead.

A process that is killed leaves its claim parked here. Its leases expire, and
what it held would go straight back to that claim. So the statement that takes a
lease away writes down whose it was (`verdict.end_leases`), and a claim that was
parked before gets nothing. A request that comes afterwards is a sign of life.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, text

KEEP_HOURS = 24


def lost_while_waiting(connection: Connection, session: UUID, *, waited_seconds: float) -> bool:
    """
    Whether a session has lost a lease since it asked.

    To be asked after the claim, in its transaction: a run that came back from a
    lost lease became visible together with the line that says whose it was.
    """
    return bool(
        connection.execute(
            text("""
SELECT EXISTS (SELECT FROM "lostSessions" l
  WHERE l.session = :session
    AND l.at > clock_timestamp() - make_interval(secs => :waited_seconds))
"""),
            {"session": session, "waited_seconds": waited_seconds},
        ).scalar_one()
    )


def drop_old(connection: Connection) -> int:
    """Forget what no parked claim can be older than; returns how many."""
    return connection.execute(
        text(f"""
DELETE FROM "lostSessions" WHERE at < clock_timestamp() - interval '{KEEP_HOURS} hours'
""")
    ).rowcount

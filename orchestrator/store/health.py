"""What keeps the database from staying small: who holds an old snapshot.

A row version that somebody might still see cannot be removed, nor can its entries
in indexes, and a claim steps over every one of those that stand in front of the
first live run. One forgotten transaction, replication slot or prepared
transaction is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from orchestrator.store.sql import text

# The oldest of them: behind that nobody holds back anything more.
LIMIT = 20


@dataclass(frozen=True, slots=True)
class SnapshotHolder:
    """
    One who holds back what can be removed.

    Attributes:
        kind: `session`, `slot` (of replication) or `prepared` (a transaction).
        name: The session's application_name, the slot's name, the transaction's gid.
        pid: Of the session, or of who uses the slot; None when nobody does.
        horizon: The oldest transaction that it might want to see undone: as long as
            this stays the same, it is one and the same snapshot.
        transactions: How many have begun since.
        since: When it began, by the database's clock. None of a slot, and of the session
            of another role unless this one is a member of pg_read_all_stats.
        seconds: How long that is; None with `since`.
    """

    kind: str
    name: str
    pid: int | None
    horizon: str
    transactions: int
    since: datetime | None
    seconds: float | None


def snapshot_holders(connection: Connection) -> list[SnapshotHolder]:
    """
    Everybody who holds a snapshot of this database now, the oldest first.

    Almost all of them are gone in a moment: how long one has lasted tells. A vacuum
    is left out, for it holds nothing back.
    """
    # A transaction that has written counts from its own id, whatever it sees by now.
    rows = connection.execute(
        text(f"""
SELECT h.kind, h.name, h.pid, h.horizon::text AS horizon, age(h.horizon) AS transactions, h.since,
       extract(epoch FROM clock_timestamp() - h.since)::double precision AS seconds
  FROM (
    SELECT 'session' AS kind, coalesce(a.application_name, '') AS name, a.pid,
           CASE WHEN a.backend_xmin IS NULL OR age(a.backend_xid) > age(a.backend_xmin)
                THEN a.backend_xid ELSE a.backend_xmin END AS horizon,
           a.xact_start AS since
      FROM pg_stat_activity a
     WHERE a.pid <> pg_backend_pid()
       AND (a.datname = current_database() OR a.datid IS NULL)
       AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)
    UNION ALL
    SELECT 'slot', s.slot_name::text, s.active_pid, s.xmin, NULL FROM pg_replication_slots s
    UNION ALL
    SELECT 'prepared', p.gid, NULL, p.transaction, p.prepared FROM pg_prepared_xacts p
     WHERE p.database = current_database()) h
 WHERE h.horizon IS NOT NULL
 ORDER BY age(h.horizon) DESC, h.kind, h.name, h.pid LIMIT {LIMIT}
""")
    )
    return [SnapshotHolder(**row._mapping) for row in rows]  # noqa: SLF001

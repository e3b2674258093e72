"""On which timeline a server is: each promotion of a standby begins a new one.

Two servers of one cluster that both write are not told apart by libpq. The one on the
older timeline was taken over from: what is committed there is lost, so whoever has seen
the newer one serves nothing from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

# The first eight digits of the name of the file that is being written are the timeline.
_TIMELINE = """
SELECT (pg_control_system()).system_identifier,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_lsn()) END
"""


@dataclass(frozen=True, slots=True)
class Timeline:
    """
    Where a server writes.

    Attributes:
        system: The cluster's identifier, the same on every server that was copied from
            one; another one after a restore from a dump or `pg_upgrade`.
        number: Grows with each promotion.
    """

    system: int
    number: int


def timeline_of(link: psycopg.Connection[Any]) -> Timeline | None:
    """
    The timeline on which this server writes, in a transaction of its own.

    Returns:
        None of a standby, and of a server that does not tell: some that are only
        compatible with Postgres have no such thing, or keep it to themselves.
    """
    try:
        system, file_name = link.execute(_TIMELINE).fetchone() or (0, None)
        link.commit()
    except (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.FeatureNotSupported,
        psycopg.errors.UndefinedFunction,
    ):
        link.rollback()
        return None
    return None if file_name is None else Timeline(system, int(file_name[:8], 16))

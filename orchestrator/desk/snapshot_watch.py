"""Who has held an old snapshot for long: the name that an operator needs.

The database tells since when only of those whom this role may look at. Of the
others this process knows since when it has seen one and the same snapshot.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC

from sqlalchemy import Connection

from orchestrator.store.health import SnapshotHolder, snapshot_holders

OLD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class OldSnapshot:
    """
    Somebody who has kept dead rows from being removed for more than a minute.

    Attributes:
        seconds: For so long; at least, where `holder.since` is None.
        text: The same for people.
    """

    holder: SnapshotHolder
    seconds: float
    text: str


class SnapshotWatch:
    """One process's watch; for one thread at a time."""

    def __init__(self) -> None:
        self._seen_since: dict[tuple[str, str, int | None, str], float] = {}

    def old(self, connection: Connection) -> list[OldSnapshot]:
        """Who holds an old snapshot now, the oldest first."""
        now, before = time.monotonic(), self._seen_since
        self._seen_since = {}
        found = []
        for holder in snapshot_holders(connection):
            snapshot = (holder.kind, holder.name, holder.pid, holder.horizon)
            self._seen_since[snapshot] = before.get(snapshot, now)
            seconds = holder.seconds
            if seconds is None:
                seconds = now - self._seen_since[snapshot]
            if seconds >= OLD_SECONDS:
                found.append(OldSnapshot(holder, seconds, _text(holder, seconds)))
        return found


def _text(holder: SnapshotHolder, seconds: float) -> str:
    match holder.kind:
        case "session":
            who = f"Session {holder.pid}" + (f" ({holder.name})" if holder.name else "")
        case "slot":
            who = f"Replication slot {holder.name}"
        case _:
            who = f"Prepared transaction {holder.name}"
    if holder.since is not None:
        since = f"since {holder.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    else:
        since = f"for {seconds:.0f} s at least"
    text = f"{who} has kept dead rows from being removed {since}."
    if holder.kind == "slot" and holder.pid is None:
        return f"{text} Nobody uses it."
    if holder.kind == "session" and holder.since is None:
        return (
            f"{text} Since when exactly, this role may not see: make it a member of"
            " pg_read_all_stats."
        )
    return text

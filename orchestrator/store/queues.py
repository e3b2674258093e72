"""Queues: what was set of them, and whether anything is claimed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.store.sql import text


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """
    What was set of a queue.

    Attributes:
        max_concurrency: Leases at once; None for no limit.
        rate_per_second: Leases granted in any second; None for no limit.
        max_concurrency_per_key: Runs of one concurrencyKey at once; None for one.
    """

    name: str
    paused: bool = False
    max_concurrency: int | None = None
    rate_per_second: int | None = None
    max_concurrency_per_key: int | None = None


def settings(connection: Connection) -> list[QueueSettings]:
    """Every queue of which something was set, by name."""
    rows = connection.execute(
        text("""
SELECT q.name, q.paused, q."maxConcurrency" AS max_concurrency,
       q."ratePerSecond" AS rate_per_second, q."maxConcurrencyPerKey" AS max_concurrency_per_key
  FROM queues q ORDER BY q.name
""")
    )
    return [QueueSettings(**row._mapping) for row in rows]  # noqa: SLF001


def set_paused(connection: Connection, name: str, *, paused: bool, actor: str) -> None:
    """Pause a queue, or let it go on; repeatable."""
    connection.execute(
        text("""
INSERT INTO queues AS q (name, paused, "changedBy", "changedAt")
VALUES (:name, :paused, :actor, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, "changedBy" = excluded."changedBy",
  "changedAt" = excluded."changedAt"
"""),
        {"name": name, "paused": paused, "actor": actor},
    )


def paused_among(connection: Connection, names: Sequence[str]) -> set[str]:
    """Which of these queues are paused."""
    return set(
        connection.execute(
            text("SELECT name FROM queues WHERE paused AND name = ANY (CAST(:names AS text[]))"),
            {"names": list(names)},
        ).scalars()
    )

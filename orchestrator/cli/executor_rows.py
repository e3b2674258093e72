"""An executor as a row: for `dibs executors` and for `dibs top`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from orchestrator.cli.queue_rows import age
from orchestrator.cli.table import STATE_STYLES, Column

EXECUTOR_COLUMNS = (
    Column("EXECUTOR"),
    Column("STATE", styles=STATE_STYLES),
    Column("IN FLIGHT", right=True),
    Column("SLOTS", right=True),
    Column("SEEN", right=True),
    Column("QUEUES", spare=1),
    Column("REASON", spare=2),
    Column("VERSION", spare=3),
    Column("SESSION", whole=True, spare=4),
)


def executor_row(executor: dict[str, Any], now: datetime) -> tuple[str | int | None, ...]:
    """The cells of one session of an executor, seen so long before `now`."""
    seen = datetime.fromisoformat(executor["seenAt"])
    return (
        executor["name"],
        executor["state"],
        executor["inFlight"],
        executor["slots"],
        age(max(0.0, (now - seen).total_seconds())),
        " ".join(executor["queues"]),
        executor["reason"],
        executor["version"],
        executor["session"],
    )

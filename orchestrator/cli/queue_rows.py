"""A queue as a row: for `dibs queues` and for `dibs top`."""

from __future__ import annotations

from typing import Any

from orchestrator.cli.table import STATE_STYLES, Column

QUEUE_COLUMNS = (
    Column("QUEUE"),
    Column("PENDING", right=True),
    Column("LEASED", right=True),
    Column("SCHEDULED", right=True, spare=3),
    Column("WAITING", right=True, spare=2),
    Column("OLDEST", right=True),
    Column("EXECUTORS", right=True, spare=1),
    Column("WANTED", right=True, spare=5),
    Column("LIMITS", spare=4),
    Column("STATE", styles=STATE_STYLES),
)

_LIMITS = {
    "maxConcurrency": "{} at once",
    "ratePerSecond": "{}/s",
    "maxConcurrencyPerKey": "{} of a key",
}


def limits_of(queue: dict[str, Any]) -> dict[str, int | None]:
    """The limits of a queue by their members' names; None where there is none."""
    return {member: queue.get(member) for member in _LIMITS}


def queue_row(queue: dict[str, Any]) -> tuple[str | int, ...]:
    """The cells of a queue."""
    leased = ("loading", "started")
    limits = limits_of(queue).items()
    return (
        queue["name"],
        _count(queue, "pending"),
        _count(queue, *leased),
        _count(queue, "scheduled"),
        _count(queue, "waiting"),
        age(queue["oldestPendingSeconds"]),
        queue["executors"],
        queue.get("wantedExecutors", ""),
        ", ".join(_LIMITS[member].format(limit) for member, limit in limits if limit is not None),
        "paused" if queue["paused"] else "",
    )


def age(seconds: float | None) -> str:
    """How long ago, in the largest unit of which there are two at least."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _count(queue: dict[str, Any], *states: str) -> str:
    """How many runs are in these states; the orchestrator stops counting somewhere."""
    some = "+" if any(state in queue.get("capped", ()) for state in states) else ""
    return f"{sum(queue['depth'].get(state, 0) for state in states):,}{some}"

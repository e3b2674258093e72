"""A queue as a row: for `dibs queues` and for `dibs top`."""

from __future__ import annotations

from typing import Any

from orchestrator.cli.output import to_the_second
from orchestrator.cli.table import STATE_STYLES, Column

QUEUE_COLUMNS = (
    Column("QUEUE"),
    Column("PENDING", right=True),
    Column("LEASED", right=True),
    Column("SCHEDULED", right=True, spare=4),
    Column("WAITING", right=True, spare=3),
    Column("OLDEST", right=True),
    Column("EXECUTORS", right=True, spare=1),
    Column("WANTED", right=True, spare=2),
    Column("LIMITS", spare=5),
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
        queue["wantedExecutors"],
        ", ".join(_LIMITS[member].format(limit) for member, limit in limits if limit is not None),
        "paused" if queue["paused"] else "",
    )


def queue_fields(queue: dict[str, Any]) -> list[tuple[str, Any]]:
    """What there is to say of one queue; what is none is left out."""
    return [
        ("queue", queue["name"]),
        ("state", "paused" if queue["paused"] else "open"),
        *((state, _count(queue, state)) for state in queue["depth"]),
        ("gated", queue["gated"] or None),
        ("leases expired", queue["leasesExpired"] or None),
        ("oldest", age(queue["oldestPendingSeconds"])),
        ("executors", f"{queue['executors']}, wanted: {queue['wantedExecutors']}"),
        ("slots", f"{queue['slots']}, busy: {queue['slotsBusy']}" if queue["slots"] else None),
        ("at once", queue["maxConcurrency"]),
        ("in a second", queue["ratePerSecond"]),
        ("of a key", queue["maxConcurrencyPerKey"]),
        ("counted", to_the_second(queue["countedAt"])),
    ]


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
    some = "+" if any(state in queue["capped"] for state in states) else ""
    return f"{sum(queue['depth'][state] for state in states):,}{some}"

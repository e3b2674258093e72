"""When a schedule fires: cron expressions in local time, through cronsim.

A local time that does not exist fires at the next that does, one that exists
twice fires once; an expression for every hour goes on through both.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

EVERY_HOUR = frozenset(range(24))
FIELDS = 5

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


class BadSchedule(ValueError):
    """The cron expression or the time zone is wrong; the message says which."""


def next_firing(cron: str, time_zone: str, *, after: datetime) -> datetime | None:
    """
    The first due time after an instant, in UTC; None when there is none.

    Raises:
        BadSchedule: The expression or the zone is wrong.
    """
    try:
        zone = ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError):
        raise BadSchedule(f"{time_zone!r} is no IANA time zone like Europe/Berlin") from None
    # cronsim would take a sixth field for seconds, of which no time zone's rules are sure.
    if len(cron.split()) != FIELDS:
        raise BadSchedule(f"{cron!r} is no cron expression: it has five fields")
    try:
        return next((at for at in _due_times(cron, zone, after) if at > after), None)
    except CronSimError as wrong:
        raise BadSchedule(f"{cron!r} is no cron expression: {wrong}") from None


def in_words(cron: str) -> str:
    """What an expression says, in English; it has been found good."""
    return CronSim(cron, _ANY_TIME).explain()


def _due_times(cron: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    local = after.astimezone(zone)
    # By the clock on the wall, which knows no gaps and shows no time twice.
    walls = CronSim(cron, local.replace(tzinfo=None))
    if walls.hours == EVERY_HOUR:
        # A star, however they were written: cronsim goes by that.
        minute, _, *rest = cron.split()
        for time in CronSim(" ".join((minute, "*", *rest)), local):
            yield time.astimezone(UTC)
    else:
        for wall in walls:
            yield _instant(wall, zone)


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which the clocks of a zone show this time, or the next that exists."""
    while True:
        instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
            return instant
        wall += timedelta(minutes=1)

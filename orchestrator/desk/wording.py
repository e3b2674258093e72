"""How times, numbers and names are put into a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
_LONGEST_QUOTE = 200


def utc(at: datetime | None) -> str:
    """A moment as people read it, to the second; one that never came is told so."""
    return "never" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def roughly(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit_seconds, unit in _UNITS:
        if seconds >= 2 * unit_seconds:
            return f"{seconds / unit_seconds:.0f} {unit}"
    return f"{seconds:.0f} s"


def counted(number: int, one: str, many: str | None = None) -> str:
    """So many of something; what is said of it may stand in both words."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def listed(names: Sequence[str], *, of: int) -> str:
    """Some names of so many, in brackets; nothing when there is no name to tell."""
    if not names:
        return ""
    others = of - len(names)
    return f" ({', '.join(names)}{f' and {others:,} more' if others > 0 else ''})"


def quoted(text: str) -> str:
    """What somebody else has said, cut where it goes on for too long."""
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"

"""How long something took, as people say it: the two largest units, and no more."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_FINE_SECONDS: Final = 60


def duration_text(duration: timedelta) -> str:
    """
    Like `340 ms`, `3.2 s`, `4 min 10 s`, `2 d 3 h`; cut off, never rounded up.

    Below nothing is nothing: the database's clock may have been set back.
    """
    milliseconds = max(0, duration // timedelta(milliseconds=1))
    if milliseconds < 1_000:
        return f"{milliseconds} ms"
    seconds = milliseconds // 1_000
    if seconds < _FINE_SECONDS:
        return f"{milliseconds // 100 / 10:.1f} s"
    place = next(place for place, (size, _) in enumerate(_UNITS) if seconds >= size)
    (size, unit), (smaller, smaller_unit) = _UNITS[place], _UNITS[place + 1]
    rest = seconds % size // smaller
    return f"{seconds // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")

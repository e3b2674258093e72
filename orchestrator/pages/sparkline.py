"""A row of numbers as a small line: how it went, without a scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

HEIGHT: Final = 24
STEP: Final = 2
# The line stays inside although it is drawn this thick.
_STROKE: Final = 2


def sparkline(numbers: Sequence[int]) -> str:
    """The `points` of an SVG polyline, `STEP` apart and `HEIGHT` high; the largest is on top."""
    most = max(numbers, default=0) or 1
    room = HEIGHT - 2 * _STROKE
    return " ".join(
        f"{at * STEP},{HEIGHT - _STROKE - room * number / most:.4g}"
        for at, number in enumerate(numbers)
    )

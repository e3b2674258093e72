"""A chart of what was counted over time: lines in a plain SVG, and the numbers beside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

# Of the drawing, which is stretched to its place; lines keep their width.
WIDTH: Final = 600
HEIGHT: Final = 120

_STEPS: Final = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Line:
    """
    One row of numbers.

    Attributes:
        kind: What it is coloured and dashed by.
    """

    name: str
    kind: str
    numbers: Sequence[int]

    @property
    def total(self) -> int:
        return sum(self.numbers)

    @property
    def most(self) -> int:
        return max(self.numbers, default=0)


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over the same moments, on one scale."""

    name: str
    moments: Sequence[datetime]
    lines: Sequence[Line]

    @property
    def top(self) -> int:
        """The number at the upper edge: the first round one that all lines stay below."""
        return round_above(max((line.most for line in self.lines), default=0))

    def points(self, line: Line) -> str:
        """A line as the `points` of an SVG polyline, from the left edge to the right one."""
        step = WIDTH / max(1, len(line.numbers) - 1)
        return " ".join(
            f"{at * step:.5g},{HEIGHT - HEIGHT * number / self.top:.5g}"
            for at, number in enumerate(line.numbers)
        )

    def area(self, line: Line) -> str:
        """What is below the line, as the `points` of an SVG polygon."""
        return f"0,{HEIGHT} {self.points(line)} {WIDTH},{HEIGHT}"


def round_above(number: int) -> int:
    """The smallest of 1, 2, 5, 10, 20 … that is not below; 1 at least."""
    if number <= 1:
        return 1
    magnitude: int = 10 ** math.floor(math.log10(number))
    return next(step * magnitude for step in _STEPS if step * magnitude >= number)

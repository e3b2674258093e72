"""A workflow's steps and what follows each, as the lines and boxes of a drawing.

Pure. Lengths are pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.pages.step_order import Place, ordered

BOX_WIDTH: Final = 168
BOX_HEIGHT: Final = 48
_PASSING_HEIGHT: Final = 14
_GAP: Final = 18
_BETWEEN: Final = 56
_MARGIN: Final = 8
_LANE: Final = 14
_ROUND: Final = 8


@dataclass(frozen=True, slots=True)
class Box:
    """A step, and where its upper left corner is."""

    x: int
    y: int
    step: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """What leads from one step to another: the `d` of an SVG path."""

    path: str
    leads_back: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """A workflow, drawn."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def drawn(steps: Sequence[Mapping[str, Any]]) -> Drawing | None:
    """Draw a definition's steps, the first where a run begins; None: there are too many lines."""
    by_name = {step["name"]: step for step in steps}
    order = ordered(steps[0]["name"], {name: step["next"] for name, step in by_name.items()})
    if order is None:
        return None
    heights = [sum(map(_height, column)) + _GAP * (len(column) - 1) for column in order.columns]
    tallest = max(heights)
    tops: dict[Place, int] = {}
    for column, height in zip(order.columns, heights, strict=True):
        y = _MARGIN + (tallest - height) // 2
        for place in column:
            tops[place] = y
            y += _height(place) + _GAP
    boxes = {
        place.name: Box(_left(place.column), y, by_name[place.name])
        for place, y in tops.items()
        if place.passing_from is None
    }
    lines = [Line(_forward(line, tops), leads_back=False) for line in order.lines]
    lane = _MARGIN + tallest
    for one, other in order.back:
        lane += _LANE
        lines.append(Line(_backward(boxes[one], boxes[other], lane), leads_back=True))
    return Drawing(
        # Room for the lines that lead back out of the last column.
        width=_left(len(order.columns) - 1) + BOX_WIDTH + _MARGIN + _BETWEEN // 2,
        height=lane + _MARGIN,
        boxes=tuple(boxes.values()),
        lines=tuple(lines),
    )


def _height(place: Place) -> int:
    return BOX_HEIGHT if place.passing_from is None else _PASSING_HEIGHT


def _left(column: int) -> int:
    # Room for the lines that lead back into the first column.
    return _MARGIN + _BETWEEN // 2 + column * (BOX_WIDTH + _BETWEEN)


def _forward(line: Sequence[Place], tops: Mapping[Place, int]) -> str:
    """Curves from each column to the next, and straight past what stands in one between."""
    middles = [tops[place] + _height(place) // 2 for place in line]
    x = _left(line[0].column) + BOX_WIDTH
    path = f"M{x} {middles[0]}"
    for place, y_before, y in zip(line[1:], middles, middles[1:], strict=False):
        bend, x = x + _BETWEEN // 2, _left(place.column)
        path += f" C{bend} {y_before} {bend} {y} {x} {y}"
        if place is not line[-1]:
            x += BOX_WIDTH
            path += f" H{x}"
    return path


def _backward(one: Box, other: Box, lane: int) -> str:
    """Out to the right, along a lane below everything, and in from the left."""
    right, left = one.x + BOX_WIDTH, other.x
    y_out, y_in = one.y + 2 * BOX_HEIGHT // 3, other.y + 2 * BOX_HEIGHT // 3
    out, back = right + 2 * _ROUND, left - 2 * _ROUND
    return (
        f"M{right} {y_out} H{out - _ROUND} Q{out} {y_out} {out} {y_out + _ROUND}"
        f" V{lane - _ROUND} Q{out} {lane} {out - _ROUND} {lane}"
        f" H{back + _ROUND} Q{back} {lane} {back} {lane - _ROUND}"
        f" V{y_in + _ROUND} Q{back} {y_in} {back + _ROUND} {y_in} H{left}"
    )

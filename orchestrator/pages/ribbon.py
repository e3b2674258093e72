"""The ribbon: a run's life drawn in time, so that a night does not squash a second.

A phase is as wide as the logarithm of how long it lasted: an hour is about three times
as wide as a second. What goes on now has a width of its own, so that the drawing of a
run to which nothing happens stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from math import log1p
from typing import Final

from orchestrator.pages.life import Phase

MOST_PHASES: Final = 60
# What a phase takes at least on average; beyond the window the ribbon is scrolled.
PIXELS_OF_A_PHASE: Final = 56
_SHORT_SECONDS: Final = 0.1
_PRESENT_WEIGHT: Final = 4.0
_OVER_WEIGHT: Final = 2.5


@dataclass(frozen=True, slots=True)
class Segment:
    """A phase's place: `left` and `width` in hundredths of the ribbon; its marks' within it."""

    phase: Phase
    left: float
    width: float
    marks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class LeaseBar:
    """A lease's place, below the phases in which it was held."""

    holder: str
    fence: int
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Ribbon:
    """
    A life, drawn.

    Attributes:
        least_pixels: Below this width it is scrolled.
        left_out: Phases before the first that is drawn.
    """

    segments: tuple[Segment, ...]
    leases: tuple[LeaseBar, ...]
    least_pixels: int
    left_out: int


def ribbon_of(phases: Sequence[Phase]) -> Ribbon:
    """The last phases of a life, side by side over the whole width."""
    drawn = phases[-MOST_PHASES:]
    weights = [_weight(phase) for phase in drawn]
    hundredth = sum(weights) / 100
    segments, left = [], 0.0
    for phase, weight in zip(drawn, weights, strict=True):
        width = weight / hundredth
        marks = tuple((_share(phase, mark.at), mark.words) for mark in phase.marks)
        segments.append(Segment(phase, _tidy(left), _tidy(width), marks))
        left += width
    return Ribbon(
        tuple(segments),
        tuple(_leases(segments)),
        PIXELS_OF_A_PHASE * len(drawn),
        len(phases) - len(drawn),
    )


def _weight(phase: Phase) -> float:
    if phase.ended_at is None:
        return _OVER_WEIGHT if phase.is_over else _PRESENT_WEIGHT
    return 1 + log1p((phase.ended_at - phase.began_at).total_seconds() / _SHORT_SECONDS)


def _share(phase: Phase, at: datetime) -> float:
    """How far into a phase a moment is; of one that goes on the middle stands for all."""
    if phase.ended_at is None or phase.ended_at <= phase.began_at:
        return 50.0
    return _tidy(100 * ((at - phase.began_at) / (phase.ended_at - phase.began_at)))


def _leases(segments: Sequence[Segment]) -> list[LeaseBar]:
    bars = []
    for fence, held in groupby(segments, key=lambda segment: segment.phase.fence):
        first, *rest = held
        if fence is not None:
            last = rest[-1] if rest else first
            width = _tidy(last.left + last.width - first.left)
            bars.append(LeaseBar(first.phase.holder or "", fence, first.left, width))
    return bars


def _tidy(figure: float) -> float:
    return round(figure, 3)

"""One process's meter: counters, gauges and histograms, each declared once.

All processes of a server declare the same in the same order, so a metric has the
same place in each row. Labels are declared with all values that they can have: whatever
clients send, no series comes into being by it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from orchestrator.metrics.rows import ROOM, Row, Rows, private_row
from orchestrator.metrics.series import Counter, Gauge, Histogram

Labels = tuple[str, ...]

# The first number of a row: when its process last said how things are, by the clock that
# all processes of a machine have in common.
PUBLISHED_AT: Final = 0


class Kind(StrEnum):
    """What Prometheus calls a metric's type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """
    One metric, as it was declared.

    Attributes:
        places: Where in a row each of its series begins.
        bounds: Of a histogram's buckets.
        of_worker: Told for each process, instead of their sum.
        shows_zeros: Whether series are told that have counted nothing yet.
    """

    name: str
    help: str
    kind: Kind
    labels: Labels
    places: Mapping[Labels, int]
    bounds: tuple[float, ...] = ()
    of_worker: bool = False
    shows_zeros: bool = True


@dataclass(slots=True)
class Meter:
    """
    The numbers of this process, and how to find those of the others.

    Attributes:
        row: Where this process counts.
        rows: Those of all processes; None: there is no other.
    """

    row: Row = field(default_factory=private_row)
    rows: Rows | None = None
    families: list[Family] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _next_place: int = PUBLISHED_AT + 1

    def counter(self, name: str, told: str) -> Counter:
        """A counter without labels."""
        return self.counters(name, told, {})[()]

    def counters(
        self,
        name: str,
        told: str,
        labels: Mapping[str, Iterable[str]],
        *,
        shows_zeros: bool = True,
    ) -> Mapping[Labels, Counter]:
        """A counter for each combination of labels."""
        return self.counters_of(
            name, told, tuple(labels), _combined(labels), shows_zeros=shows_zeros
        )

    def counters_of(
        self,
        name: str,
        told: str,
        labels: Labels,
        series: Sequence[Labels],
        *,
        shows_zeros: bool = True,
    ) -> Mapping[Labels, Counter]:
        """A counter for each of these series."""
        family = self._declare(name, told, Kind.COUNTER, labels, series, shows_zeros=shows_zeros)
        return {
            labelled: Counter(self.row, place, self._lock)
            for labelled, place in family.places.items()
        }

    def gauge(self, name: str, told: str, *, of_worker: bool = False) -> Gauge:
        """
        A gauge; that of the server is the sum over its processes.

        Args:
            of_worker: It is told for each process instead.
        """
        family = self._declare(name, told, Kind.GAUGE, (), [()], of_worker=of_worker)
        return Gauge(self.row, family.places[()])

    def gauges(
        self, name: str, told: str, labels: Mapping[str, Iterable[str]]
    ) -> Mapping[Labels, Gauge]:
        """A gauge for each combination of labels."""
        family = self._declare(name, told, Kind.GAUGE, tuple(labels), _combined(labels))
        return {labelled: Gauge(self.row, place) for labelled, place in family.places.items()}

    def worker_seconds(self, name: str, told: str) -> Gauge:
        """A counter of each process whose value is put, for it is counted elsewhere."""
        family = self._declare(name, told, Kind.COUNTER, (), [()], of_worker=True)
        return Gauge(self.row, family.places[()])

    def histogram(self, name: str, told: str, bounds: tuple[float, ...]) -> Histogram:
        """A histogram without labels."""
        return self.histograms(name, told, bounds, {})[()]

    def histograms(
        self,
        name: str,
        told: str,
        bounds: tuple[float, ...],
        labels: Mapping[str, Iterable[str]],
    ) -> Mapping[Labels, Histogram]:
        """A histogram for each combination of labels."""
        family = self._declare(
            name, told, Kind.HISTOGRAM, tuple(labels), _combined(labels), bounds=bounds
        )
        return {
            labelled: Histogram(self.row, place, self._lock, bounds)
            for labelled, place in family.places.items()
        }

    def _declare(
        self,
        name: str,
        told: str,
        kind: Kind,
        labels: Labels,
        series: Sequence[Labels],
        *,
        bounds: tuple[float, ...] = (),
        of_worker: bool = False,
        shows_zeros: bool = True,
    ) -> Family:
        # Of a histogram: the sum, a bucket up to each bound, and one beyond.
        width = len(bounds) + 2 if kind is Kind.HISTOGRAM else 1
        first = self._next_place
        self._next_place += width * len(series)
        if self._next_place > ROOM:
            raise RuntimeError(f"{name}: there is no room for it in a row of {ROOM} numbers")
        places = {labelled: first + width * number for number, labelled in enumerate(series)}
        family = Family(name, told, kind, labels, places, bounds, of_worker, shows_zeros)
        self.families.append(family)
        return family


def _combined(labels: Mapping[str, Iterable[str]]) -> list[Labels]:
    return list(itertools.product(*labels.values()))

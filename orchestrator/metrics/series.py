"""One series each: a counter, a gauge, a histogram, in its place of a row."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable

from orchestrator.metrics.rows import Row


class Counter:
    """A number that only grows."""

    __slots__ = ("_lock", "_place", "_row")

    def __init__(self, row: Row, place: int, lock: threading.Lock) -> None:
        self._row = row
        self._place = place
        self._lock = lock

    def add(self, amount: float = 1.0) -> None:
        with self._lock:
            self._row[self._place] += amount


class Gauge:
    """A number as it is now."""

    __slots__ = ("_place", "_row")

    def __init__(self, row: Row, place: int) -> None:
        self._row = row
        self._place = place

    def put(self, value: float) -> None:
        self._row[self._place] = value


class Histogram:
    """How many values fell between which bounds, and their sum."""

    __slots__ = ("_bounds", "_lock", "_place", "_row")

    def __init__(
        self, row: Row, place: int, lock: threading.Lock, bounds: tuple[float, ...]
    ) -> None:
        self._row = row
        self._place = place
        self._lock = lock
        self._bounds = bounds

    def note(self, value: float) -> None:
        row, place, bounds = self._row, self._place, self._bounds
        bucket = place + 1 + bisect_left(bounds, value)
        with self._lock:
            row[place] += value
            row[bucket] += 1.0

    def note_each(self, values: Iterable[float]) -> None:
        row, place, bounds = self._row, self._place, self._bounds
        with self._lock:
            for value in values:
                row[place] += value
                row[place + 1 + bisect_left(bounds, value)] += 1.0

"""What all processes of this server have counted in the last minute, for who looks at it."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.metrics.exposition import counted
from orchestrator.metrics.meter import Meter

# How far back it goes, and how often what was counted is put down meanwhile.
MINUTE_SECONDS: Final = 60.0
STEP_SECONDS: Final = 5.0

# A series' labels, in one order.
Labels = tuple[tuple[str, str], ...]
# By the name of what is counted.
Tally = Mapping[str, Mapping[Labels, float]]


@dataclass(frozen=True, slots=True)
class Minute:
    """
    What was counted since a moment ago.

    Attributes:
        seconds: How long ago that was: about a minute, or less when the server is young.
    """

    seconds: float
    before: Tally
    now: Tally

    def standing(self, name: str, **labels: str) -> float:
        """A gauge as it is now; the sum of all that have these labels."""
        wanted = labels.items()
        return sum(
            value
            for labelled, value in self.now.get(name, {}).items()
            if wanted <= dict(labelled).items()
        )

    def number(self, name: str, **labels: str) -> float:
        """What a counter has counted meanwhile; the sum of all that have these labels."""
        wanted = labels.items()
        return sum(
            number for labelled, number in self._grown(name) if wanted <= dict(labelled).items()
        )

    def by(self, label: str, name: str) -> dict[str, float]:
        """What was counted by the values of a label, the most first; nothing of what was not."""
        numbers: dict[str, float] = defaultdict(float)
        for labelled, number in self._grown(name):
            numbers[dict(labelled)[label]] += number
        ordered = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
        return {value: number for value, number in ordered if number}

    def at_most(self, name: str, share: float, **labels: str) -> float | None:
        """
        The bound of a histogram that this share of its values is not above.

        None when there were no values; infinity when it is above every bound.
        """
        buckets: dict[float, float] = defaultdict(float)
        wanted = labels.items()
        for labelled, number in self._grown(f"{name}_bucket"):
            said = dict(labelled)
            if wanted <= said.items():
                buckets[float(said["le"])] += number
        all_of_them = buckets.get(math.inf)
        if not all_of_them:
            return None
        return min(bound for bound, number in buckets.items() if number >= share * all_of_them)

    def _grown(self, name: str) -> Iterator[tuple[Labels, float]]:
        before = self.before.get(name, {})
        for labelled, value in self.now.get(name, {}).items():
            yield labelled, value - before.get(labelled, 0.0)


class LastMinute:
    """Keeps what was counted at some moments of the last minute."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._lock = threading.Lock()
        self._noted: deque[tuple[float, Tally]] = deque()

    def note(self) -> None:
        """Put down what is counted by now, unless that was done a moment ago."""
        with self._lock:
            at = time.monotonic()
            if self._noted and at - self._noted[-1][0] < STEP_SECONDS:
                return
            self._noted.append((at, _tally(self._meter)))
            while len(self._noted) > 1 and at - self._noted[1][0] >= MINUTE_SECONDS:
                self._noted.popleft()

    def now(self) -> Minute:
        """What was counted in the last minute, up to now."""
        self.note()
        began_at, before = self._noted[0]
        now = _tally(self._meter)
        return Minute(time.monotonic() - began_at, before, now)


def _tally(meter: Meter) -> Tally:
    told: dict[str, dict[Labels, float]] = defaultdict(dict)
    for metric in counted(meter):
        for sample in metric.samples:
            told[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
    return told

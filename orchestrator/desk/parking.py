"""Where wishes wait for runs that are yet to come, in the order in which they came.

A run that becomes claimable between a wish's look and its parking must not be
missed: whoever parks says which state of the bell it looked at, and is sent to
look again if a queue of its has rung since.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

# Queues that rang or were found empty, as many as are remembered: names are free to choose.
REMEMBERED_QUEUES = 10_000

Rings = tuple[int, ...]
"""The number of the last ring of each of some queues."""


class Waits(Protocol):
    """
    What parks: something that is served from these queues.

    Attributes:
        called_at: Their last rings when it was called; it looks at them after that.
    """

    called_at: Rings

    @property
    def queues(self) -> Sequence[str]: ...


Waiter = TypeVar("Waiter", bound=Waits)


class Parking(Generic[Waiter]):
    """One process's places for those that wait."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._lock = threading.Lock()
        # Insertion order is the order of coming.
        self._parked: dict[Waiter, None] = {}
        self._by_queue: dict[str, dict[Waiter, None]] = {}
        self._rings: dict[str, int] = {}
        self._seen_empty: dict[str, tuple[int, float]] = {}
        self._closed = False
        self._ring_numbers = itertools.count(1)
        # The number of every queue that is not in `_rings`.
        self._floor = 0

    def __len__(self) -> int:
        return len(self._parked)

    @property
    def is_full(self) -> bool:
        """Whether nobody can park now; after `close` nobody ever can."""
        return self._closed or len(self._parked) >= self._places

    def rings(self, queues: Sequence[str]) -> Rings:
        """The last ring of each of these queues; to be asked before a look at them."""
        return tuple(self._rings.get(queue, self._floor) for queue in queues)

    def park(self, waiter: Waiter, looked_at: Rings) -> bool:
        """Take a place, unless all are taken or one of the queues has rung since `looked_at`."""
        with self._lock:
            if self.is_full or self.rings(waiter.queues) != looked_at:
                return False
            self._parked[waiter] = None
            for queue in waiter.queues:
                self._by_queue.setdefault(queue, {})[waiter] = None
            return True

    def leave(self, waiter: Waiter) -> bool:
        """Give a place back; False when whoever woke it has taken it from there."""
        with self._lock:
            return self._remove(waiter)

    def ring(self, arrived: Mapping[str, int]) -> tuple[list[Waiter], dict[str, int]]:
        """
        Call for those that have waited longest, one for each run that has arrived in a queue.

        Returns:
            Whom to wake, no longer parked; and how many runs of each queue are left over.
        """
        called: list[Waiter] = []
        left_over: dict[str, int] = {}
        with self._lock:
            if len(self._rings) > REMEMBERED_QUEUES:
                # A new number for all: whoever is about to park looks again.
                self._rings.clear()
                self._floor = next(self._ring_numbers)
            for queue in arrived:
                self._rings[queue] = next(self._ring_numbers)
            for queue, runs in arrived.items():
                first = self._first(queue, runs)
                called += first
                if runs > len(first):
                    left_over[queue] = runs - len(first)
        return called, left_over

    def first(self, arriving: Mapping[str, int], fits: Callable[[Waiter], bool]) -> list[Waiter]:
        """
        As `ring`, for runs that nobody else can see yet: whoever looks need not look again.

        Args:
            fits: Who is called; behind one who is not nobody is, for he has waited longer.
        """
        with self._lock:
            return [
                waiter
                for queue, runs in arriving.items()
                for waiter in self._first(queue, runs, fits)
            ]

    def call(self, waiters: Iterable[Waiter]) -> list[Waiter]:
        """Those of them that are parked still, and no longer from now on."""
        with self._lock:
            return [waiter for waiter in waiters if self._remove(waiter)]

    def waiting(self) -> list[Waiter]:
        """All that are parked."""
        with self._lock:
            return list(self._parked)

    def close(self) -> list[Waiter]:
        """Let nobody park any more; gives those that did."""
        with self._lock:
            self._closed = True
        return self.call(self.waiting())

    def note_empty(self, queues: Sequence[str], looked_at: Rings) -> None:
        """Remember that a look which began after these rings found nothing in these queues."""
        now = time.monotonic()
        if len(self._seen_empty) > REMEMBERED_QUEUES:
            self._seen_empty.clear()
        for queue, rings in zip(queues, looked_at, strict=True):
            self._seen_empty[queue] = (rings, now)

    def known_empty(self, queues: Sequence[str], *, within_seconds: float) -> bool:
        """Whether a look lately found nothing in any of these queues, and none has rung since."""
        now = time.monotonic()
        for queue in queues:
            rings, seen_at = self._seen_empty.get(queue, (-1, 0.0))
            if rings != self._rings.get(queue, self._floor) or now - seen_at > within_seconds:
                return False
        return True

    def _first(
        self, queue: str, most: int, fits: Callable[[Waiter], bool] = lambda _waiter: True
    ) -> list[Waiter]:
        waiting = self._by_queue.get(queue, {})
        first = list(itertools.takewhile(fits, itertools.islice(waiting, most)))
        for waiter in first:
            self._remove(waiter)
        return first

    def _remove(self, waiter: Waiter) -> bool:
        if waiter not in self._parked:
            return False
        del self._parked[waiter]
        waiter.called_at = self.rings(waiter.queues)
        for queue in waiter.queues:
            del self._by_queue[queue][waiter]
            if not self._by_queue[queue]:
                del self._by_queue[queue]
        return True

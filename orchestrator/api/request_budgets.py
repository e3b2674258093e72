"""Request budgets: so many requests a second, and a burst after a rest, for each key."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

# Two megabytes at most. Who is dropped has his whole budget again.
MOST_KEYS: Final = 10_000


class RequestBudgets:
    """
    The budgets of all keys (tokens, or addresses) of one kind, in one process.

    What is kept of a key is one instant: until when the requests that it has made use its
    budget up at the rate that is allowed (the generic cell rate algorithm).
    """

    def __init__(
        self,
        per_second: int,
        *,
        burst: int,
        most_keys: int = MOST_KEYS,
        clock: Callable[[], float] = time.monotonic,
    ):
        """
        Args:
            burst: How many a key that has rested may make at once.
            most_keys: Beyond it the key that has not taken anything for longest is dropped.
            clock: Seconds, monotonic.
        """
        self.per_second = per_second
        self._seconds_each = 1 / per_second
        self._burst_seconds = burst / per_second
        self._most_keys = most_keys
        self._clock = clock
        self._lock = threading.Lock()
        self._used_until: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str) -> float:
        """
        Take one request from a key's budget.

        Returns:
            0, or in how many seconds there is one again; nothing was taken then.
        """
        with self._lock:
            now = self._clock()
            used_until = max(self._used_until.get(key, now), now) + self._seconds_each
            wait_seconds = used_until - now - self._burst_seconds
            if wait_seconds > 0:
                return wait_seconds
            self._used_until[key] = used_until
            self._used_until.move_to_end(key)
            if len(self._used_until) > self._most_keys:
                self._used_until.popitem(last=False)
            return 0.0

    def give_back(self, key: str) -> None:
        """Put a request back that was taken and shall not count."""
        with self._lock:
            if key in self._used_until:
                self._used_until[key] -= self._seconds_each

    def wait_seconds(self, key: str) -> float:
        """What `take` would return now; nothing is taken."""
        with self._lock:
            now = self._clock()
            used_until = max(self._used_until.get(key, now), now) + self._seconds_each
            return max(0.0, used_until - now - self._burst_seconds)

"""How soon to come back: told to those that there is no place for.

The desk knows how long a claim takes it lately, and who was turned away. Whoever
waits outside asks so seldom that all of them together take a small part of its
time; and when what waits already would take too long, no more is let in.
"""

from __future__ import annotations

import random
import threading
import time

from orchestrator.errors import RateLimited
from orchestrator.store.incidents import Process

# What an executor waits after an empty answer that did not wait here.
EMPTY_POLL_MS = 1_000
LONGEST_POLL_MS = 10_000
# The part of one thread's time that those outside may take with asking.
SHARE_FOR_OUTSIDERS = 0.1
# Longer than this nobody is to wait for his turn: half of what a request may wait at all.
LONGEST_TURN_SECONDS = 2.0
FORGOTTEN_AFTER_SECONDS = 2 * LONGEST_POLL_MS / 1_000
_SMOOTHING = 0.1


class Pace:
    """
    One desk's pace.

    Args:
        runs_at_once: How many runs it claims in one transaction.
    """

    def __init__(self, *, runs_at_once: int) -> None:
        self._runs_at_once = runs_at_once
        self._lock = threading.Lock()
        self._seconds_per_wish = 0.002
        self._seconds_per_turn = 0.002
        self._runs_per_wish = 1.0
        self._outsiders: dict[Process, float] = {}

    def served(self, wishes: int, runs: int, seconds: float) -> None:
        """Note how long it took to serve so many together, which wanted so many runs."""
        self._seconds_per_wish += _SMOOTHING * (seconds / wishes - self._seconds_per_wish)
        self._seconds_per_turn += _SMOOTHING * (seconds - self._seconds_per_turn)
        self._runs_per_wish += _SMOOTHING * (runs / wishes - self._runs_per_wish)

    def require_room(self, waiting: int) -> None:
        """
        See that a wish behind so many others is served before long.

        Raises:
            RateLimited: It would not be.
        """
        # Those that wait are served together, as many as one transaction has room for.
        turns = waiting * self._runs_per_wish / self._runs_at_once
        turn_seconds = turns * self._seconds_per_turn
        if turn_seconds > LONGEST_TURN_SECONDS:
            raise RateLimited(
                "More claims wait than can be answered soon.",
                retry_after_seconds=min(turn_seconds, LONGEST_POLL_MS / 1_000),
            )

    def poll_after_ms(self, process: Process, *, soonest_ms: int = EMPTY_POLL_MS) -> int:
        """When somebody who finds nothing, and no place to wait, is to ask again."""
        now = time.monotonic()
        with self._lock:
            self._outsiders[process] = now
            if len(self._outsiders) > 1_000 or random.random() < 0.01:  # noqa: S311
                self._forget(now)
            outsiders = len(self._outsiders)
        shared_ms = 1_000 * outsiders * self._seconds_per_wish / SHARE_FOR_OUTSIDERS
        # Spread, so that those who came together do not come together again.
        spread = random.uniform(0.8, 1.2)  # noqa: S311
        return int(min(max(shared_ms, soonest_ms), LONGEST_POLL_MS) * spread)

    def _forget(self, now: float) -> None:
        self._outsiders = {
            process: at
            for process, at in self._outsiders.items()
            if now - at < FORGOTTEN_AFTER_SECONDS
        }

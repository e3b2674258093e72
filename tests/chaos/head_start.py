"""Two sides that come so close together that either may be first."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

One = TypeVar("One")
Other = TypeVar("Other")

BARRIER_SECONDS = 30.0
STEP_SECONDS = 20e-6
SPREAD_SECONDS = 200e-6


class HeadStart:
    """
    Lets two sides go at the same instant, but for a head start of microseconds.

    Whoever came second gets a little more of it the next time. So the sides
    stay as near to each other as a machine can bring them, however much longer
    the way of one of them is, and about half of the rounds go to each.

    Args:
        seed: Draws by how much a round differs from the one before.
    """

    def __init__(self, seed: int) -> None:
        self.wins = 0
        self.rounds = 0
        self._draw = random.Random(seed)
        # How much later the first side begins than the second.
        self._handicap_seconds = 0.0

    def both(self, one: Callable[[], One], other: Callable[[], Other]) -> tuple[One, Other]:
        """Let both go; what each of them returned."""
        barrier = threading.Barrier(2)
        drawn = self._draw.uniform(-SPREAD_SECONDS, SPREAD_SECONDS)
        handicap_seconds = self._handicap_seconds + drawn

        def go_other() -> Other:
            barrier.wait(BARRIER_SECONDS)
            time.sleep(max(0.0, -handicap_seconds))
            return other()

        with ThreadPoolExecutor(1) as thread:
            going = thread.submit(go_other)
            barrier.wait(BARRIER_SECONDS)
            time.sleep(max(0.0, handicap_seconds))
            done = one()
            return done, going.result()

    def note(self, *, one_won: bool) -> None:
        """Who came first in this round."""
        self.rounds += 1
        self.wins += one_won
        self._handicap_seconds += STEP_SECONDS if one_won else -STEP_SECONDS

    def check(self, one: str, other: str) -> None:
        """Say how often each side came first; that one always did was no race."""
        shares = f"{one} first: {self.wins}, {other} first: {self.rounds - self.wins}"
        sys.stdout.write(f"{shares}\n")
        assert 0 < self.wins < self.rounds, f"this was no race: {shares}"

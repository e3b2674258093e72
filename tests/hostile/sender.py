"""Somebody hostile: sends the list again and again, from a process of its own."""

import math
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Final

from tests.hostile.case import RATE_LIMITED, UNAUTHENTICATED, Case
from tests.hostile.place import Place
from tests.hostile.table import CASES

NICE: Final = 10
# Those that take seconds would only wait.
QUICK: Final = tuple(case for case in CASES if not case.is_slow)


class Sender:
    """
    Sends the list from where it stopped the last time.

    Attributes:
        sent: How many cases it has sent.
        failures: What got another answer than the list says.
    """

    def __init__(self, pool: ProcessPoolExecutor, place: Place) -> None:
        self.sent = 0
        self.failures: list[str] = []
        self._pool = pool
        self._place = place

    @property
    def rounds(self) -> float:
        """How often it has sent the list."""
        return self.sent / len(QUICK)

    def send_until(self, rounds: int, *, within_seconds: float = math.inf) -> None:
        """Send until all of it has been sent so often, or the time is up."""
        left = max(0, rounds * len(QUICK) - self.sent)
        with self.sending(cases=left, seconds=within_seconds):
            pass

    @contextmanager
    def sending(
        self, *, cases: int | None = None, seconds: float = math.inf, pace_seconds: float = 0.0
    ) -> Iterator[None]:
        """
        Send while the block does something else; it is left when both have ended.

        Args:
            cases: So many, or as many as there is time for.
            seconds: No case is begun after this time.
            pace_seconds: From one case to the next, at least.
        """
        sending = self._pool.submit(_send, self._place, self.sent, cases, seconds, pace_seconds)
        yield
        sent, failures = sending.result()
        self.sent += sent
        self.failures += failures


@contextmanager
def sender_to(place: Place) -> Iterator[Sender]:
    """A sender; its process ends with the block."""
    # Not forked: this process has threads.
    context = multiprocessing.get_context("spawn")
    # Elsewhere it would be a machine of its own: its own work is not to cost the server any time.
    with ProcessPoolExecutor(1, context, initializer=os.nice, initargs=(NICE,)) as pool:
        yield Sender(pool, place)


def _send(
    place: Place, begin_at: int, cases: int | None, seconds: float, pace_seconds: float
) -> tuple[int, list[str]]:
    failures: list[str] = []
    began_at, sent = time.monotonic(), 0
    for case in islice(cycle(QUICK), begin_at % len(QUICK), None):
        if sent == cases or time.monotonic() >= began_at + seconds:
            break
        if failure := _failure_of(case, place):
            failures.append(f"{case.name}: {failure}")
        sent += 1
        time.sleep(max(0.0, began_at + sent * pace_seconds - time.monotonic()))
    return sent, failures


def _failure_of(case: Case, place: Place) -> str:
    # Whoever comes again and again with bad credentials is told to come less often.
    also = (RATE_LIMITED,) if UNAUTHENTICATED in case.gets else ()
    try:
        case.check(place, *also)
    # Whatever it is, it is this case's, and the others are sent all the same.
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__} {error}"
    return ""

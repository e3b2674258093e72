"""Things that begin at the same instant."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")
Other = TypeVar("Other")


def at_once(*works: Callable[[], Result]) -> list[Result]:
    """Begin all of them at the same instant; their results in the same order."""
    barrier = threading.Barrier(len(works))

    def begin(work: Callable[[], Result]) -> Result:
        barrier.wait(30)
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return [future.result() for future in [threads.submit(begin, work) for work in works]]


def both_at_once(first: Callable[[], Result], second: Callable[[], Other]) -> tuple[Result, Other]:
    """Begin two different things at the same instant."""
    barrier = threading.Barrier(2)

    def begin() -> Result:
        barrier.wait(30)
        return first()

    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(begin)
        barrier.wait(30)
        done = second()
        return other.result(), done

"""Doing the same thing from many sides at the same moment."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

BARRIER_SECONDS = 60.0


def race(sides: Sequence[Callable[[int], Result]], *, rounds: int) -> list[list[Result]]:
    """
    Let every side act at the same moment, again and again.

    Args:
        sides: Each acts in a thread of its own, and is told the number of the round.

    Returns:
        What each side got, round by round.
    """
    start = threading.Barrier(len(sides))

    def run(act: Callable[[int], Result]) -> list[Result]:
        got: list[Result] = []
        try:
            for number in range(rounds):
                start.wait(BARRIER_SECONDS)
                got.append(act(number))
        except BaseException:
            start.abort()
            raise
        return got

    with ThreadPoolExecutor(len(sides)) as pool:
        futures = [pool.submit(run, side) for side in sides]
        broken = [error for future in futures if (error := future.exception())]
        if broken:
            blamed = [e for e in broken if not isinstance(e, threading.BrokenBarrierError)]
            raise (blamed or broken)[0]
        return [list(got) for got in zip(*(future.result() for future in futures), strict=True)]


def at_once(sides: Sequence[Callable[[], Result]]) -> list[Result]:
    """Let every side act once, at the same moment; what each got."""

    def without_number(act: Callable[[], Result]) -> Callable[[int], Result]:
        return lambda _: act()

    return race([without_number(act) for act in sides], rounds=1)[0]

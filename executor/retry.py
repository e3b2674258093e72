"""Repeat a request until it is answered."""

import itertools
import random
from collections.abc import Callable
from typing import TypeVar

import stamina

from executor.transport import UnansweredError

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
LONGEST_RETRY_AFTER_SECONDS = 60.0
"""Whatever something in between may say: the orchestrator never asks for as much."""

Answer = TypeVar("Answer")


def until_answered(
    attempt: Callable[[], Answer],
    *,
    give_up: Callable[[], bool],
    longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
) -> Answer:
    """
    Make attempts until one is answered, refusals included.

    The pauses grow exponentially and are drawn at random below their bound, so
    that executors that lost the orchestrator together do not return together.
    A Retry-After is waited for, if it is no longer than a minute, and never less
    than one of these pauses.

    Args:
        attempt: Sends the same request, under the same id, each time.
        give_up: Asked after each unanswered attempt.

    Raises:
        UnansweredError: `give_up` said so.
        RefusedError: The orchestrator refused.
    """
    bounds = (FIRST_PAUSE_SECONDS * 2**n for n in itertools.chain(range(16), itertools.repeat(16)))

    def pause_after(error: Exception) -> bool | float:
        if not isinstance(error, UnansweredError) or give_up():
            return False
        pause = random.uniform(0.01, min(longest_pause_seconds, next(bounds)))  # noqa: S311
        asked = min(error.retry_after_seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        return max(asked, pause)

    for again in stamina.retry_context(pause_after, attempts=None, timeout=None):
        with again:
            return attempt()
    raise AssertionError("stamina makes attempts until one ends the loop")

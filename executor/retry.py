"""Repeat a request until it is answered."""

import itertools
import random
from collections.abc import Callable
from typing import TypeVar

import stamina

from executor.transport import UnansweredError

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0

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
    A Retry-After is waited for as it is.

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
        if error.retry_after_seconds is not None:
            return error.retry_after_seconds
        return random.uniform(0.01, min(longest_pause_seconds, next(bounds)))  # noqa: S311

    for again in stamina.retry_context(pause_after, attempts=None, timeout=None):
        with again:
            return attempt()
    raise AssertionError("stamina makes attempts until one ends the loop")

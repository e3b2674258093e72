"""Waiting for something to come true, never for time to pass."""

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

LOOK_AGAIN_SECONDS = 0.02
PATIENCE_SECONDS = 30.0


def eventually(
    look: Callable[[], Seen | None], *, within_seconds: float = PATIENCE_SECONDS, what: str = ""
) -> Seen:
    """
    Look again and again until there is something to see, and return it.

    Raises:
        AssertionError: There was nothing within the time.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not within {within_seconds} s: {what or look}"
        time.sleep(LOOK_AGAIN_SECONDS)

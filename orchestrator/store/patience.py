"""How long may be waited for the database: a few seconds, however many transactions it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

# No request waits longer than five seconds for the database; what is left of
# them is for the answer.
PATIENCE_SECONDS: Final = 4.5

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def new_patience() -> Iterator[None]:
    """Whatever is asked of the database in this block ends within `PATIENCE_SECONDS` from now."""
    token = _deadline.set(time.monotonic() + PATIENCE_SECONDS)
    try:
        yield
    finally:
        _deadline.reset(token)


def begin_anew() -> None:
    """Begin the patience of the block around this anew: it went for something else."""
    if _deadline.get() is not None:
        _deadline.set(time.monotonic() + PATIENCE_SECONDS)


@contextmanager
def patience() -> Iterator[None]:
    """As `new_patience`, unless a block around this one has begun already."""
    if _deadline.get() is not None:
        yield
        return
    with new_patience():
        yield


def seconds_left() -> float:
    """What is left of the patience, never less than none; all of it outside of any block."""
    deadline = _deadline.get()
    return PATIENCE_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())

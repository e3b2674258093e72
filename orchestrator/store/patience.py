"""How long may be waited for the database: a few seconds, however many transactions it takes."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Final

# No request waits longer than five seconds for the database; what is left of
# them is for the answer.
PATIENCE_SECONDS: Final = 4.5

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


class _Patience:
    """A block of which everything ends together; a class, for every request enters one."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = _deadline.set(time.monotonic() + PATIENCE_SECONDS)

    def __exit__(self, *_: object) -> None:
        _deadline.reset(self._token)


_HAS_BEGUN: Final = nullcontext()


def new_patience() -> AbstractContextManager[None]:
    """Whatever is asked of the database in this block ends within `PATIENCE_SECONDS` from now."""
    return _Patience()


def begin_anew() -> None:
    """Begin the patience of the block around this anew: it went for something else."""
    if _deadline.get() is not None:
        _deadline.set(time.monotonic() + PATIENCE_SECONDS)


def patience() -> AbstractContextManager[None]:
    """As `new_patience`, unless a block around this one has begun already."""
    return _Patience() if _deadline.get() is None else _HAS_BEGUN


def seconds_left() -> float:
    """What is left of the patience, never less than none; all of it outside of any block."""
    deadline = _deadline.get()
    return PATIENCE_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())

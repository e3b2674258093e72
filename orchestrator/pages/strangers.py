"""Strangers' forms: whoever has no session yet sends one of one line, and holds no thread for long.

Signing in is the only request whose body is read before it is known who sends it. An
honest form fits into one packet and is there with its head. So of those that trickle in
only so many hold a thread, each for a second at most, and the oldest makes room.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from orchestrator.api.slow_bodies import TimedBody

AT_ONCE: Final = 32
WITHIN_SECONDS: Final = 1.0


class Strangers:
    """The forms that one process is reading of people who have not signed in yet."""

    def __init__(self) -> None:
        self._being_read: dict[TimedBody, None] = {}
        self._lock = threading.Lock()

    @contextmanager
    def place(self, body: TimedBody) -> Iterator[None]:
        """A place for the reading of a form; whoever has held one longest is dropped for it."""
        body.within_seconds = WITHIN_SECONDS
        with self._lock:
            oldest = next(iter(self._being_read)) if len(self._being_read) >= AT_ONCE else None
            if oldest is not None:
                del self._being_read[oldest]
            self._being_read[body] = None
        if oldest is not None:
            oldest.cut_off(politely=False)
        try:
            yield
        finally:
            with self._lock:
                self._being_read.pop(body, None)

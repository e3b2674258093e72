"""What a double writes down of itself, one JSON line each, for the test that started it."""

from __future__ import annotations

import itertools
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

import orjson

STARTED = "double_started"
ASKED = "asked"
REACHED = "reached"
MALFORMED = "malformed"
CRASHED = "crashed"


@dataclass
class Journal:
    """
    Lines on standard output.

    Requests are numbered when they are sent, and written when they were answered:
    the order of the numbers is what is compared with the recorded session.
    """

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def number(self) -> int:
        """The next request's."""
        return next(self._numbers)

    def write(self, event: str, **members: Any) -> None:
        line = orjson.dumps({"event": event, **members}, default=str) + b"\n"
        with self._lock:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()

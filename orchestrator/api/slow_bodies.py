"""Bodies that do not arrive in time: whoever sends one is told so and cut off.

A read of a body waits inside the server, where Python can neither look nor interrupt it,
and holds a thread until the client goes on. So a watch looks at what is being read,
and who reads says beforehand how its connection is to be ended; then the read returns.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from orchestrator.api.refusals import RequestTimeout

# For the whole body, however it trickles: 8 MiB, the largest there is, need 7 Mbit/s. Three
# times as long as an executor waits before it asks again, and well within half a lease.
BODY_WITHIN_SECONDS: Final = 10.0
# What is left to a slow body while there are more of them than may be at once.
CROWDED_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.5


class Source(Protocol):
    """What a body is read from: a server's `wsgi.input`."""

    def read(self, size: int, /) -> bytes: ...


class TimedBody:
    """
    A body as one request's thread reads it, by `read` only; the first read begins its time.

    Attributes:
        within_seconds: How long it may take as a whole; to be set before it is read.
    """

    __slots__ = ("_being_read", "_context", "_cut_off", "_source", "began_at", "within_seconds")

    def __init__(self, source: Source, cut_off: Callable[[bool], None], being_read: set[TimedBody]):
        self._source = source
        self._cut_off = cut_off
        self._being_read = being_read
        self._context: contextvars.Context | None = None
        self.began_at = 0.0
        self.within_seconds = BODY_WITHIN_SECONDS

    def read(self, size: int) -> bytes:
        """
        Up to so many bytes; fewer only at the end.

        Raises:
            RequestTimeout: They did not come in time. Whatever came belongs to no request.
        """
        if not self.began_at:
            self.began_at = time.monotonic()
        self._context = contextvars.copy_context()
        self._being_read.add(self)
        chunk = self._source.read(size)
        # The context knows the request, and the request its body: a ring, which would
        # be left to the collector.
        self._context = None
        if not self.take_out():
            raise too_late()
        return chunk

    def take_out(self) -> bool:
        """Say that the read is over; of the reader and the watch only the first is told True."""
        # One operation of the interpreter: what was read in time cannot be cut off after all,
        # and what is cut off has no effect.
        try:
            self._being_read.remove(self)
        except KeyError:
            return False
        return True

    def cut_off(self, *, politely: bool = True) -> None:
        """
        End the connection, unless the read is over; as part of its reader's request.

        Args:
            politely: Wait until its client can have read why.
        """
        # None when the read came to its end just now: then the reader answers.
        if self.take_out() and (context := self._context) is not None:
            context.run(self._cut_off, politely)


class SlowBodies:
    """The bodies that one process is reading, and the watch that ends what takes too long."""

    def __init__(self, at_once: int):
        """
        Args:
            at_once: How many may be slow together. Each holds a thread: of more, those
                that began first are cut off early.
        """
        self._at_once = at_once
        self._being_read: set[TimedBody] = set()

    def timed(self, source: Source, cut_off: Callable[[bool], None]) -> TimedBody:
        """
        The body of one request.

        Args:
            cut_off: Answers in the reader's place, and ends the connection; politely or
                not. Called at most once, in another thread and with the reader's context.
        """
        return TimedBody(source, cut_off, self._being_read)

    def start(self) -> None:
        """Watch, until the process ends."""
        threading.Thread(target=self._watch, name="slow-bodies", daemon=True).start()

    def hurry(self) -> None:
        """From now on no body may be slow: the process is to end."""
        self._at_once = 0

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            for body in self._overdue(time.monotonic()):
                # Where no thread can be had there will be one at another look.
                with suppress(RuntimeError):
                    threading.Thread(target=body.cut_off, name="late-body", daemon=True).start()

    def _overdue(self, now: float) -> list[TimedBody]:
        being_read = tuple(self._being_read)
        late = [body for body in being_read if now - body.began_at >= body.within_seconds]
        # A stranger, who is late so soon, is never the one too many that somebody else pays for.
        slow = [
            body
            for body in being_read
            if CROWDED_SECONDS <= now - body.began_at < body.within_seconds
        ]
        slow.sort(key=lambda body: body.began_at)
        return late + slow[: max(0, len(slow) - self._at_once)]


def too_late() -> RequestTimeout:
    """The refusal of a body that was not there in time."""
    return RequestTimeout("The body did not arrive in time.")

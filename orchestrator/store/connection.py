"""A connection whose waits end, and which hears what the server says beside its answers."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, Final, TypeVar

import psycopg
from psycopg.errors import Diagnostic

Answer = TypeVar("Answer")

# No request waits longer than five seconds for the database; what is left of
# them is for the answer.
PATIENCE_SECONDS: Final = 4.5


class BoundedConnection(psycopg.Connection[Any]):
    """
    A connection that gives up on a server which hangs without closing it.

    The server's own time-outs end what is slow. A server that is stopped does
    not look at its clock, so the wait is bounded here as well; a connection
    that was given up is closed.

    Attributes:
        deadline: On `time.monotonic`; None lets each wait take `PATIENCE_SECONDS`.
        warned: Whether the server has sent a warning since this was last set to False.
        pooled: Whether a pooler stands between: the next transaction may reach
            another server.
    """

    deadline: float | None = None
    warned: bool = False
    pooled: bool = False

    def wait(
        self,
        gen: Generator[Any, Any, Answer],
        interval: float = 0.1,
        timeout: float | None = None,
    ) -> Answer:
        """Wait for the server's answer until the deadline."""
        now = time.monotonic()
        deadline = self.deadline or now + PATIENCE_SECONDS
        left = max(0.0, deadline - now)
        try:
            return super().wait(gen, interval, left if timeout is None else min(timeout, left))
        except psycopg.OperationalError:
            if time.monotonic() >= deadline:
                self.pgconn.finish()
            raise

    def listen_for_warnings(self) -> None:
        """Note from now on in `warned` when the server sends a warning."""
        self.add_notice_handler(self._hear)

    def _hear(self, notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self.warned = True

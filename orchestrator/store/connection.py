"""A connection whose waits end, and which hears what the server says beside its answers."""

from __future__ import annotations

import time
from collections.abc import Generator
from functools import cached_property
from typing import Any, TypeVar

import psycopg
from psycopg.errors import Diagnostic
from psycopg.pq import TransactionStatus

from orchestrator.store.known_primary import KnownPrimary
from orchestrator.store.patience import seconds_left
from orchestrator.store.prepared import Prepared
from orchestrator.store.timeline import Timeline

Answer = TypeVar("Answer")


class BoundedConnection(psycopg.Connection[Any]):
    """
    A connection that gives up on a server which hangs without closing it.

    The server's own time-outs end what is slow. A server that is stopped does
    not look at its clock, so every wait ends with `patience` as well, that for
    the connection itself among them, however many hosts the URL names. A
    connection that was given up is closed.

    Attributes:
        warned: Whether the server has sent a warning since this was last set to False.
        pooled: Whether a pooler stands between: the next transaction may reach
            another server.
        server: Host and port that this leads to; None before it was found fit to serve from.
        timeline: Of the server, when this was opened; None: it does not tell.
        known_primary: What its process has seen by now.
    """

    warned: bool = False
    pooled: bool = False
    server: tuple[str, int] | None = None
    timeline: Timeline | None = None
    known_primary: KnownPrimary | None = None

    @property
    def is_superseded(self) -> bool:
        """Whether another server has taken over from this one, as far as the process knows."""
        known = self.known_primary
        return known is not None and known.has_superseded(self.timeline)

    @classmethod
    def _connect_gen(cls, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        """psycopg's own way to a server, given up when the patience is over."""
        deadline = time.monotonic() + seconds_left()
        connecting = super()._connect_gen(*args, **kwargs)
        ready: Any = None
        while True:
            try:
                wanted = connecting.send(ready)
            except StopIteration as connected:
                return connected.value
            if time.monotonic() >= deadline:
                connecting.close()
                raise psycopg.errors.ConnectionTimeout("the server did not answer in time")
            ready = yield wanted

    def wait(
        self,
        gen: Generator[Any, Any, Answer],
        interval: float = 0.1,
        timeout: float | None = None,
    ) -> Answer:
        """Wait for the server's answer until the patience is over."""
        left = seconds_left()
        deadline = time.monotonic() + left
        try:
            return super().wait(gen, interval, left if timeout is None else min(timeout, left))
        except psycopg.OperationalError:
            if time.monotonic() >= deadline:
                self.pgconn.finish()
            raise

    @cached_property
    def prepared(self) -> Prepared:
        """What this connection asks without a cursor."""
        return Prepared(self)

    def rollback(self) -> None:
        """As psycopg's, which drops all that is prepared on this connection, whoever did it."""
        # A pool rolls back what has just been committed, each time.
        if self.pgconn.transaction_status == TransactionStatus.IDLE:
            return
        super().rollback()
        self.prepared.forget()

    def listen_for_warnings(self) -> None:
        """Note from now on in `warned` when the server sends a warning."""
        self.add_notice_handler(self._hear)

    def _hear(self, notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self.warned = True

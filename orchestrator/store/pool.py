"""A pool that waits for a free connection no longer than the request has patience."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util.queue import Queue

from orchestrator.store.patience import seconds_left


class _PatientQueue(Queue[ConnectionPoolEntry]):
    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        super().__init__(maxsize, use_lifo)
        self.waiting: set[int] = set()

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        left = seconds_left()
        # Threads, not their number: a set takes in and gives back as a whole.
        me = threading.get_ident()
        self.waiting.add(me)
        try:
            return super().get(block, left if timeout is None else min(timeout, left))
        finally:
            self.waiting.discard(me)


class PatientPool(QueuePool):
    """Raises its `TimeoutError` after `timeout` seconds, or when the patience is over before."""

    _queue_class = _PatientQueue

    @property
    def waiting(self) -> int:
        """How many threads wait for a connection."""
        queue: _PatientQueue = self._pool  # type: ignore[assignment]
        return len(queue.waiting)


def give_up(failed: Connection, error: BaseException) -> None:
    """
    Close this connection, and let its pool replace all others that are as old.

    What ended one has mostly ended all (a restart, a failover): whoever tries
    again gets a connection that was opened since, not the next dead one. It is what
    SQLAlchemy does itself when a statement of Core's finds a connection dead.
    """
    if not failed.invalidated:
        failed.engine.pool._invalidate(failed.connection, error)  # noqa: SLF001
        failed.invalidate(error)


def end_together(engines: Sequence[Engine]) -> None:
    """
    Let a connection that turned out dead end all of these pools that are as old.

    Each pool by itself finds out only when one of its own is used, and a server that
    hangs costs a request all its patience each time.
    """

    def end_others(_connection: object, entry: ConnectionPoolEntry, _error: object) -> None:
        opened_at = entry.starttime  # type: ignore[attr-defined]
        for engine in engines:
            pool = engine.pool
            if pool._invalidate_time < opened_at:  # noqa: SLF001
                pool._invalidate_time = time.time()  # noqa: SLF001

    for engine in engines:
        event.listen(engine, "invalidate", end_others)

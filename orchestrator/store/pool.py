"""A pool that waits for a free connection no longer than the request has patience."""

from __future__ import annotations

from sqlalchemy import Connection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util.queue import Queue

from orchestrator.store.patience import seconds_left


class _PatientQueue(Queue[ConnectionPoolEntry]):
    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        left = seconds_left()
        return super().get(block, left if timeout is None else min(timeout, left))


class PatientPool(QueuePool):
    """Raises its `TimeoutError` after `timeout` seconds, or when the patience is over before."""

    _queue_class = _PatientQueue


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

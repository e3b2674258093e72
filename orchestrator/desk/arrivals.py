"""Which queues have something to claim after a transaction: what the bell is to be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Protocol

from sqlalchemy import Connection

from orchestrator.lifecycle import LEASED, RunState
from orchestrator.store import gates
from orchestrator.store.lock_waits import wait_briefly

# More than can be parked: whoever waits for a queue is to look.
EVERYBODY = 1_000_000


class Moved(Protocol):
    """A run that was moved to a state."""

    @property
    def run_state(self) -> str: ...

    @property
    def queue(self) -> str: ...

    @property
    def step_queue(self) -> str: ...

    @property
    def concurrency_key(self) -> str | None: ...


def nothing(_connection: Connection, _moved: object) -> Counter[str]:
    """What brings no run to be claimed."""
    return Counter()


def arrivals(
    connection: Connection, moved: Collection[Moved], *, briefly: bool = False
) -> Counter[str]:
    """
    How many runs are claimable because of these moves, by the queue that they are claimed from.

    To be called last in the transaction of the moves, for it lets in who is next of a
    concurrencyKey; runs without one cost no statement.

    Args:
        briefly: Others share this transaction, whom a key that is held does not concern.

    Raises:
        DBAPIError: 55P03, when a key is held for longer than a tenth of a second then.
    """
    arrived = Counter(
        run.step_queue
        for run in moved
        if run.run_state == RunState.PENDING and run.concurrency_key is None
    )
    keys = {
        (run.queue, run.concurrency_key)
        for run in moved
        # Who holds a lease still has its place.
        if run.concurrency_key is not None and run.run_state not in LEASED
    }
    if keys:
        if briefly:
            wait_briefly(connection)
        arrived.update(gates.let_in(connection, keys))
    return arrived

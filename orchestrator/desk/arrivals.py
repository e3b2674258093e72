"""Which queues have something to claim after a transaction: what the bell is to be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from orchestrator.lifecycle import RunState

# More than can be parked: whoever waits for a queue is to look.
EVERYBODY = 1_000_000


class Moved(Protocol):
    """A run that was moved to a state."""

    @property
    def run_state(self) -> str: ...

    @property
    def step_queue(self) -> str: ...


def nothing(_moved: object) -> dict[str, int]:
    """What brings no run to be claimed."""
    return {}


def arrivals(moved: Iterable[Moved]) -> Counter[str]:
    """How many of these runs are claimable now, by the queue that they are claimed from."""
    return Counter(run.step_queue for run in moved if run.run_state == RunState.PENDING)

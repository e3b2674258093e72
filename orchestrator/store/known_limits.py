"""Which queues have limits, as far as this process has found out.

What it does not know yet, the claim of such a queue tells: it yields nothing then. So
queues without limits are never asked about, and a limit counts at once in every process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

# Names of queues are free to choose.
REMEMBERED_QUEUES = 10_000


class Ended(Protocol):
    """What may have ended a lease."""

    @property
    def freed_queue(self) -> str | None: ...


class KnownLimits:
    """One process's knowledge."""

    def __init__(self) -> None:
        self._counts_leases: dict[str, bool] = {}

    def __contains__(self, queue: str) -> bool:
        return queue in self._counts_leases

    def note(self, queue: str, *, counts_leases: bool = True) -> None:
        """Remember that a queue has limits, and whether its leases are among what is limited."""
        if len(self._counts_leases) >= REMEMBERED_QUEUES:
            self._counts_leases.clear()
        self._counts_leases[queue] = counts_leases

    def forget(self, queue: str) -> None:
        """It has none any more."""
        self._counts_leases.pop(queue, None)

    def freed(self, ended: Iterable[Ended]) -> Counter[str]:
        """
        How many more may be claimed because of these leases' ends, by queue.

        Of queues that limit leases only: in any other nobody waits for that.
        """
        return Counter(
            lease.freed_queue
            for lease in ended
            if lease.freed_queue is not None and self._counts_leases.get(lease.freed_queue)
        )

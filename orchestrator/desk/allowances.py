"""What the limits of queues allow one transaction to claim."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.store import limits
from orchestrator.store.known_limits import KnownLimits
from orchestrator.store.limits import Grant, Limits


@dataclass(frozen=True, slots=True)
class Freeing:
    """When a queue allows more, whose rate is used up, and how many runs."""

    after_seconds: float
    runs: int


@dataclass(slots=True)
class _Used:
    """One queue's limits, and what this transaction has claimed under them."""

    limits: Limits
    leased_at_most: int | None
    claimed: int = 0

    @property
    def rate_left(self) -> int | None:
        rate = self.limits.rate_per_second
        return None if rate is None else rate - self.limits.granted - self.claimed


class Allowances:
    """The limited queues that one transaction may claim from; their rows stay locked."""

    def __init__(
        self,
        connection: Connection,
        known: KnownLimits,
        queues: Iterable[str],
        *,
        briefly: bool = False,
    ) -> None:
        """
        Lock those of the queues that are known to have limits.

        All of them at once and in one order, whichever are asked first: two transactions
        that claim from the same queues cannot wait for each other.

        Args:
            briefly: Others share this transaction, whom a row that is held does not concern.
        """
        self._connection = connection
        self._used: dict[str, _Used] = {}
        named = {queue for queue in queues if queue in known}
        for held in limits.hold(connection, named, briefly=briefly) if named else ():
            known.note(held.queue, counts_leases=held.max_concurrency is not None)
            self._used[held.queue] = _Used(held, held.leased_at_most)
        for queue in named - self._used.keys():
            known.forget(queue)

    @property
    def hold_rows(self) -> bool:
        """Whether a queue's row is locked."""
        return bool(self._used)

    def of(self, queue: str, wanted: int) -> int | None:
        """How many of the runs wanted may be claimed; None: it is not known to be limited."""
        used = self._used.get(queue)
        if used is None:
            return None
        allowed = wanted
        if (most := used.limits.max_concurrency) is not None:
            if used.leased_at_most is None or used.leased_at_most + wanted > most:
                # What this transaction has claimed is among them.
                used.leased_at_most = limits.count_leases(self._connection, queue)
            allowed = min(allowed, most - used.leased_at_most)
        if (left := used.rate_left) is not None:
            allowed = min(allowed, left)
        return max(allowed, 0)

    def note(self, queue: str, claimed: int) -> None:
        """So many runs were claimed under what was allowed."""
        used = self._used[queue]
        used.claimed += claimed
        if used.leased_at_most is not None:
            used.leased_at_most += claimed

    def keep(self) -> None:
        """Write down what was claimed, for those who come next."""
        grants = [
            Grant(queue, used.claimed, used.leased_at_most)
            for queue, used in self._used.items()
            if used.claimed
        ]
        if grants:
            limits.note_grants(self._connection, grants)

    def freeing(self) -> dict[str, Freeing]:
        """The queues whose rate is used up, each with when it allows more."""
        return {
            queue: Freeing(
                after_seconds=used.limits.oldest_for_seconds or limits.COUNTS_FOR_SECONDS,
                runs=used.limits.oldest or used.claimed,
            )
            for queue, used in self._used.items()
            if used.rate_left is not None and used.rate_left <= 0
        }

"""The sweep of the gates: puts keys right of which too few runs were let in, or too many.

Too few when a run was locked just when it was its turn, when an operator allows more, when
leases are revoked after a restore, and when a process of the version before ends a lease. Too
many when an operator allows fewer: those that nobody has claimed yet are gated again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.store import gates
from orchestrator.store.gates import KeyPage

KEYS_AT_ONCE = 200
# Between the end of a pass and the beginning of the next.
REST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Swept:
    """
    What became of one page of keys.

    Attributes:
        let_in: How many runs are claimable now, by the queue they are claimed from.
        held_back: How many that had been let in are gated again: their queue allows fewer now.
    """

    page: KeyPage
    let_in: Mapping[str, int]
    held_back: int


class GateSweep:
    """One process's way along the keys, some at each tick, round and round."""

    def __init__(self) -> None:
        self._through = gates.NOWHERE
        self._rests_until = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it does not rest."""
        return time.monotonic() >= self._rests_until

    def step(self, connection: Connection) -> Swept:
        """Put the next keys right; one that somebody holds is put right by him, or next time."""
        page = gates.keys_after(connection, self._through, limit=KEYS_AT_ONCE)
        return Swept(
            page,
            gates.let_in(connection, page.with_room, skip_locked=True) if page.with_room else {},
            gates.hold_back(connection, page.overfull) if page.overfull else 0,
        )

    def go_on(self, swept: Swept) -> None:
        """What a step did is committed: the next one goes on after it."""
        if swept.page.is_last:
            self._through = gates.NOWHERE
            self._rests_until = time.monotonic() + REST_SECONDS
        else:
            self._through = swept.page.through

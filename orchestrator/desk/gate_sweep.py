"""The sweep of the gates: finds runs that nobody let in, though their key has a free place.

That happens when a run was locked just when it was its turn, when an operator allows more,
when leases are revoked after a restore, and when a process of the version before ends a lease.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from sqlalchemy import Connection

from orchestrator.store import gates

KEYS_AT_ONCE = 200
# Between the end of a pass and the beginning of the next.
REST_SECONDS = 1.0


class GateSweep:
    """One process's way along the keys, some at each tick, round and round."""

    def __init__(self) -> None:
        self._through = gates.NOWHERE
        self._rests_until = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it does not rest."""
        return time.monotonic() >= self._rests_until

    def step(self, connection: Connection) -> Mapping[str, int]:
        """Let in whom the next keys have room for; what is claimable now, by queue."""
        page = gates.keys_after(connection, self._through, limit=KEYS_AT_ONCE)
        if page.is_last:
            self._through = gates.NOWHERE
            self._rests_until = time.monotonic() + REST_SECONDS
        else:
            self._through = page.through
        return gates.let_in(connection, page.with_room) if page.with_room else {}

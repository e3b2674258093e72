"""Pruning: old runs go a little at a time, with a rest after each page.

A pass walks the runs from the oldest to the last that may be old enough, page by
page, at most one page in a tick of the keeper. How far it has come stands in the
database: whichever process ticks next goes on from there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store import claim_requests, keeper, operator_acts

# From the end of one pass to the beginning of the next.
PRUNE_EVERY_SECONDS = 60.0
# A page is as large as can be deleted in so long, and the rest after it so long that
# no more than this share of the time is spent: a database that has much else to do
# is slower at it, and so has smaller pages to delete and longer rests.
PAGE_SECONDS = 0.1
SHARE = 0.25
SMALLEST_PAGE, FIRST_PAGE, LARGEST_PAGE = 200, 500, 2_000


@dataclass(frozen=True, slots=True)
class Step:
    """What went in one page, and whether the pass goes on after it."""

    runs: int
    goes_on: bool


class Pruning:
    """One process's part in it; all that it keeps is how large a page may be."""

    def __init__(self, *, retention_days: int):
        """
        Args:
            retention_days: How long over runs and acts are kept; 0 keeps them for ever.
        """
        self._retention_days = retention_days
        self._page = FIRST_PAGE

    def step(self, connection: Connection, *, after: UUID | None) -> Step:
        """
        Delete a page of over runs, one of old acts, and one of old claims' requests.

        Args:
            after: How far the pass has come; None begins one.
        """
        began = time.monotonic()
        size, pruned, acts = self._page, keeper.Pruned(runs=0, through=None, is_last=True), 0
        if self._retention_days:
            pruned = keeper.prune(
                connection, retention_days=self._retention_days, after=after, limit=size
            )
            acts = operator_acts.prune(connection, retention_days=self._retention_days, limit=size)
        dropped = claim_requests.drop_old(connection, limit=size)
        took_seconds = time.monotonic() - began
        goes_on = not pruned.is_last or size in (acts, dropped)
        keeper.note_pruning(
            connection,
            through=pruned.through if goes_on else None,
            rest_seconds=took_seconds * (1 / SHARE - 1) if goes_on else PRUNE_EVERY_SECONDS,
        )
        self._page = _next_size(size, took_seconds)
        return Step(pruned.runs, goes_on)


def _next_size(size: int, took_seconds: float) -> int:
    """What would have taken `PAGE_SECONDS`, no more than twice or half as many as this time."""
    fitting = size * PAGE_SECONDS / max(took_seconds, PAGE_SECONDS / 1_000)
    fitting = min(max(fitting, size / 2), size * 2)
    return round(min(max(fitting, SMALLEST_PAGE), LARGEST_PAGE))

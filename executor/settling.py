"""Settling: the renewals that free what nobody knows he was granted."""

from dataclasses import dataclass

SETTLING_RENEWALS = 3
"""
Answered renewals after which an orphan is gone: one brings a server time later
than the orphan's grant, the next sends it back as `asOf`, and one more because
the first may have been composed before the claim was given up. A renewal after
which orphans are kept, because of an amnesty, is none of them.
"""

DEAD_COPY_SECONDS = 35.0
"""How long a copy of a claim may go on being granted runs: parked for the 30 s
that an orchestrator lets a claim wait at the longest, and a while on the way."""


@dataclass
class Settling:
    """
    The renewals that are owed since a claim ended of which copies may live on.

    An attempt that was not answered may have been granted runs already: some
    renewals are owed at once. It may also be parked still, although its sender
    has long had another answer, and be granted runs until its wait is over: the
    others are owed after that. In between there is nothing to count, and the
    renewals go on slowly, so that an orphan never waits for the end.
    """

    _at_once: int = 0
    _at_last: int = 0
    _dead_copies_until: float = 0.0

    def begin(self, now: float) -> None:
        """Owe all of them, from now on."""
        self._at_once = self._at_last = SETTLING_RENEWALS
        self._dead_copies_until = now + DEAD_COPY_SECONDS

    def renewed(self, composed_at: float) -> None:
        """Note an answered renewal that named everything, and left no orphan of ours."""
        self._at_once = max(0, self._at_once - 1)
        if composed_at >= self._dead_copies_until:
            self._at_last = max(0, self._at_last - 1)

    @property
    def is_urgent(self) -> bool:
        """Whether there may be orphans already that no renewal has freed."""
        return self._at_once > 0

    @property
    def is_over(self) -> bool:
        """Whether no renewal is owed."""
        return self._at_once == self._at_last == 0

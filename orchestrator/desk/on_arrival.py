"""Claims on arrival: runs go to those who are parked for them in the transaction that brings them.

One COMMIT for both: a run that is created while somebody waits for it is under its
lease when it becomes visible, and neither a bell nor a second transaction lies between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection

from orchestrator.desk.claim_batch import Asked, Known, Served, claim_along


class Waits(Protocol):
    """Something that is parked with a claim."""

    @property
    def wish(self) -> Asked: ...


Waiter = TypeVar("Waiter", bound=Waits)


class OnArrival(Generic[Waiter]):
    """
    What one transaction claims for those who are parked.

    Attributes:
        called: They are parked no longer: whoever made this sees to it that they are answered.
        served: What they got in the last attempt; None when it got to no claim.
    """

    def __init__(self, call: Callable[[Mapping[str, int]], Sequence[Waiter]], known: Known) -> None:
        """
        Args:
            call: Takes from their places those that have waited longest, one for each run.
        """
        self._call = call
        self._known = known
        self.called: Sequence[Waiter] = ()
        self.served: Served | None = None

    def claim(self, connection: Connection, arrived: Mapping[str, int]) -> Mapping[str, int]:
        """
        Claim for as many as runs have arrived; to be called last, by each attempt.

        Returns:
            The runs that are left for others, by queue: what the bell is to be told.

        Raises:
            RefusedMeanwhileError, LimitsFoundError: Nothing may be committed; it concerns
                those who are parked, and not the runs.
        """
        self.served = None
        self.called = self.called or self._call(arrived)
        if not self.called:
            return arrived
        self.served = claim_along(
            connection, [each.wish for each in self.called], known=self._known, briefly=True
        )
        taken = Counter(dispatch.run.step_queue for dispatch in self.served.dispatches)
        return Counter(arrived) - taken

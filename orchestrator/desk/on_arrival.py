"""Claims on arrival: runs go to those who are parked for them in the transaction that brings them.

One COMMIT for both: a run that is created while somebody waits for it is under its
lease when it becomes visible, and neither a bell nor a second transaction lies between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.desk.claim_batch import Known, Served, claim_along
from orchestrator.desk.wishes import Asked


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
        has_failed: An attempt failed in the claim: what is to blame is none of the transaction's.
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
        self.has_failed = False

    def claim(
        self, connection: Connection, arrived: Mapping[str, int], made: Collection[UUID]
    ) -> Mapping[str, int]:
        """
        Claim for as many as runs have arrived; to be called last, by each attempt.

        Args:
            made: The runs that this transaction brings. Who is called may get an older one
                instead, and then the new one is left for others.

        Returns:
            The runs that are left for others, by queue: what the bell is to be told.

        Raises:
            Exception: Nothing may be committed, and `has_failed`.
        """
        self.served = None
        self.called = self.called or self._call(arrived)
        if not self.called:
            return arrived
        try:
            self.served = claim_along(
                connection, [each.wish for each in self.called], known=self._known, briefly=True
            )
        except Exception:
            self.has_failed = True
            raise
        taken = Counter(
            dispatch.run.step_queue
            for dispatch in self.served.dispatches
            if dispatch.run.id in made
        )
        return Counter(arrived) - taken

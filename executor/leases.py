"""The leases that this process holds, and the claims that may still bring some."""

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from executor.deadline import own_deadline
from executor.transport import RefusedError
from executor.wire import Dispatch

SETTLING_RENEWALS = 3
"""
Answered renewals after which an orphan is gone: one brings a server time later
than the orphan's grant, the next sends it back as `asOf`, and one more because
the first may have been composed before the claim was given up. A renewal after
which orphans are kept, because of an amnesty, is none of them.
"""


@dataclass
class HeldLease:
    """
    One lease of ours.

    Attributes:
        deadline: After this nothing is executed or written under the lease until it
            has been renewed, on the clock of `executor.deadline`.
        progress: What the handler last said of itself, as JSON, until it has been told.
    """

    id: str
    run_id: str
    seconds: float
    deadline: float
    progress: bytes | None = None


class HeldLeases:
    """
    Every lease that a renewal must name.

    A lease is named from the moment its claim is answered until its report or
    its release has been answered, and a claim from before it is sent until its
    leases are named: at no moment is a lease of ours neither.
    """

    def __init__(self) -> None:
        self._leases: dict[str, HeldLease] = {}
        self._claiming: set[str] = set()
        self._settling_renewals = 0
        self._changed = threading.Condition()

    @contextmanager
    def claiming(self, request_id: str) -> Iterator[None]:
        """
        Name a claim while it waits for its answer.

        The leases of the answer must be held before the block is left. A block
        that is left by an exception, other than a refusal, has given the claim
        up: what it may have been granted is an orphan, for renewals to free.
        """
        with self._changed:
            self._claiming.add(request_id)
        try:
            yield
        except RefusedError:
            raise
        except BaseException:
            with self._changed:
                self._settling_renewals = SETTLING_RENEWALS
            raise
        finally:
            with self._changed:
                self._claiming.discard(request_id)
                self._changed.notify_all()

    def hold(self, dispatch: Dispatch, sent_at: float) -> HeldLease:
        """Name a lease from now on; `sent_at` is when the answered request was sent."""
        lease = HeldLease(
            dispatch.lease.id,
            dispatch.run.id,
            dispatch.lease.seconds,
            own_deadline(sent_at, dispatch.lease.seconds),
        )
        with self._changed:
            self._leases[lease.id] = lease
            self._changed.notify_all()
        return lease

    def extend(self, lease_ids: Collection[str], sent_at: float) -> None:
        """Move deadlines after an answered renewal or report, never back."""
        with self._changed:
            for lease in filter(None, map(self._leases.get, lease_ids)):
                lease.deadline = max(lease.deadline, own_deadline(sent_at, lease.seconds))

    def drop(self, lease_id: str) -> None:
        """Name a lease no longer: it was answered for, or it is lost."""
        with self._changed:
            self._leases.pop(lease_id, None)

    def holds(self, lease_id: str) -> bool:
        """Whether a lease is named still."""
        return lease_id in self._leases

    def set_progress(self, lease_id: str, progress: bytes | None) -> None:
        """Send this along with the next renewal; None for nothing, whatever was said before."""
        with self._changed:
            if lease := self._leases.get(lease_id):
                lease.progress = progress

    def progress_told(self, told: Mapping[str, bytes]) -> None:
        """Note what an answered renewal took along; what was said since is still to be told."""
        with self._changed:
            for lease_id, progress in told.items():
                lease = self._leases.get(lease_id)
                if lease and lease.progress is progress:
                    lease.progress = None

    def names(self) -> tuple[tuple[str, ...], tuple[HeldLease, ...]]:
        """What a renewal must name at this moment: claims, and leases."""
        with self._changed:
            return tuple(self._claiming), tuple(self._leases.values())

    def renewed(self) -> None:
        """Note one answered renewal that named everything, and left no orphan of ours."""
        with self._changed:
            self._settling_renewals = max(0, self._settling_renewals - 1)
            self._changed.notify_all()

    def settle(self) -> None:
        """Ask for renewals that free what a claim given up may have been granted."""
        with self._changed:
            self._settling_renewals = SETTLING_RENEWALS
            self._changed.notify_all()

    def give_up_claims(self) -> None:
        """Wait for no claim's answer any more."""
        with self._changed:
            self._claiming.clear()
        self.settle()

    def wait_until_settled(self, timeout_seconds: float) -> bool:
        """Wait until no renewal is needed any more."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.needs_renewals, timeout_seconds)

    @property
    def needs_renewals(self) -> bool:
        """Whether leases are held, or a claim given up is not settled yet."""
        return bool(self._leases) or self._settling_renewals > 0

    def wait_for_need(self, timeout_seconds: float) -> bool:
        """Wait until renewals are needed."""
        with self._changed:
            return self._changed.wait_for(lambda: self.needs_renewals, timeout_seconds)

    def overdue(self, now: float) -> list[HeldLease]:
        """The leases past their deadline."""
        with self._changed:
            return [lease for lease in self._leases.values() if now > lease.deadline]

    def shortest_seconds(self) -> float | None:
        """The length of the shortest lease held."""
        with self._changed:
            return min((lease.seconds for lease in self._leases.values()), default=None)

"""The leases that this process holds, and the claims that may still bring some."""

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry.trace import SpanContext

from executor.deadline import monotonic_seconds, own_deadline
from executor.settling import Settling
from executor.transport import RefusedError
from executor.wire import Dispatch


@dataclass
class HeldLease:
    """
    One lease of ours.

    Attributes:
        deadline: After this nothing is executed or written under the lease until it
            has been renewed, on the clock of `executor.deadline`.
        progress: What the handler last said of itself, as JSON, until it has been told.
        claimed_in: The span of the claim that brought it, if there are traces.
    """

    id: str
    run_id: str
    seconds: float
    deadline: float
    progress: bytes | None = None
    claimed_in: SpanContext | None = None


@dataclass
class AwaitedClaim:
    """
    One claim that waits for its answer.

    Attributes:
        attempts: How often it was sent.
        sent_at: When it was sent last, on the clock of `executor.deadline`.
    """

    request_id: str
    attempts: int = 0
    sent_at: float = 0.0

    def note_attempt(self) -> None:
        """Note that it is sent now."""
        self.attempts += 1
        self.sent_at = monotonic_seconds()


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
        self._settling = Settling()
        self._changed = threading.Condition()

    @contextmanager
    def claiming(self, request_id: str) -> Iterator[AwaitedClaim]:
        """
        Name a claim while it waits for its answer.

        The leases of the answer must be held before the block is left. What the
        claim may have been granted, or may yet be, beyond its answer is then an
        orphan, for renewals to free: when the block is left by an exception, and
        when an attempt before the answered one was not. Only a claim that was
        refused the first time it was sent has left nothing behind.
        """
        claim = AwaitedClaim(request_id)
        given_up = True
        with self._changed:
            self._claiming.add(request_id)
        try:
            yield claim
            given_up = False
        except RefusedError:
            given_up = False
            raise
        finally:
            with self._changed:
                self._claiming.discard(request_id)
                if given_up or claim.attempts > 1:
                    self._settling.begin(monotonic_seconds())
                self._changed.notify_all()

    def hold(
        self, dispatch: Dispatch, sent_at: float, claimed_in: SpanContext | None = None
    ) -> HeldLease:
        """Name a lease from now on; `sent_at` is when the answered request was sent."""
        lease = HeldLease(
            dispatch.lease.id,
            dispatch.run.id,
            dispatch.lease.seconds,
            own_deadline(sent_at, dispatch.lease.seconds),
            claimed_in=claimed_in,
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

    @property
    def count(self) -> int:
        """How many leases are named."""
        return len(self._leases)

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

    def renewed(self, composed_at: float) -> None:
        """Note one answered renewal that named everything, and left no orphan of ours."""
        with self._changed:
            self._settling.renewed(composed_at)
            self._changed.notify_all()

    def settle(self) -> None:
        """Ask for renewals that free what a claim given up may have been granted."""
        with self._changed:
            self._settling.begin(monotonic_seconds())
            self._changed.notify_all()

    def give_up_claims(self) -> None:
        """Wait for no claim's answer any more."""
        with self._changed:
            self._claiming.clear()
        self.settle()

    def wait_until_settled(self, timeout_seconds: float) -> bool:
        """Wait until nothing is held and all that has been granted so far is settled."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._leases and not self._settling.is_urgent, timeout_seconds
            )

    def wait_until_urgent(self, timeout_seconds: float) -> bool:
        """Wait until there may be orphans that no renewal has freed."""
        with self._changed:
            return self._changed.wait_for(lambda: self._settling.is_urgent, timeout_seconds)

    @property
    def settling_is_urgent(self) -> bool:
        """Whether there may be orphans that no renewal has freed."""
        return self._settling.is_urgent

    @property
    def is_settling(self) -> bool:
        """Whether there are, or may still come, leases that nobody here knows of."""
        return not self._settling.is_over

    @property
    def needs_renewals(self) -> bool:
        """Whether leases are held, or a claim's end is not settled yet."""
        return bool(self._leases) or self.is_settling

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

    def shortest_left_seconds(self, now: float) -> float | None:
        """How long until the first lease is past its deadline; not positive if one is."""
        with self._changed:
            deadlines = [lease.deadline for lease in self._leases.values()]
        return min(deadlines) - now if deadlines else None

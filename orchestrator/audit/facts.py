"""Facts: what an answer told a client, each of which the ledger must bear out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from orchestrator.audit.finding import short
from orchestrator.audit.history import Event, History, Kind
from orchestrator.audit.leases import tenures

# The wire has milliseconds; the ledger has microseconds.
_ROUNDING = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something about a run; its `denials` say, one sentence each, how the ledger has it."""

    run_id: UUID

    def denials(self, history: History) -> Iterator[str]:
        """Nothing when the ledger bears the fact out."""
        if not history.events:
            yield "the run has no events"


@dataclass(frozen=True, slots=True)
class Granted(Fact):
    """A claim was answered with this run under this lease; `instance` None: not named."""

    lease_id: UUID
    fence: int
    request_id: str
    instance: str | None

    def denials(self, history: History) -> Iterator[str]:
        claims = [event for event in history.events if _is(event, Kind.CLAIMED, self.lease_id)]
        if not claims:
            yield f"{short(self.lease_id)} was granted, and the ledger has no claim of it"
        for claim in claims:
            if (claim.fence, claim.request_id) != (self.fence, self.request_id):
                yield (
                    f"{short(self.lease_id)} was granted with fence {self.fence} for request "
                    f"{self.request_id}, the ledger has {claim.fence} and {claim.request_id}"
                )
            instance = (claim.executor or "").partition(":")[2]
            if self.instance is not None and instance != self.instance:
                yield f"{short(self.lease_id)} was granted to {self.instance}, not {claim.executor}"


@dataclass(frozen=True, slots=True)
class Stored(Fact):
    """A report was answered as stored, and the run was in this state then."""

    lease_id: UUID
    step_index: int
    outcome_hash: str
    state: str

    def denials(self, history: History) -> Iterator[str]:
        found = outcome_of(history, self.lease_id, self.step_index)
        if found is None:
            yield f"the outcome of step {self.step_index} is not stored under this lease"
        elif found.outcome_hash != self.outcome_hash:
            yield f"another outcome of step {self.step_index} is stored under this lease"
        elif found.to_state != self.state:
            yield f"step {self.step_index} made the run {found.to_state}, not {self.state}"


@dataclass(frozen=True, slots=True)
class LeaseRefused(Fact):
    """A report was refused as `lease-lost`: nothing of it may be stored."""

    lease_id: UUID
    step_index: int
    outcome_hash: str

    def denials(self, history: History) -> Iterator[str]:
        found = outcome_of(history, self.lease_id, self.step_index)
        if found is not None and found.outcome_hash == self.outcome_hash:
            yield (
                f"step {self.step_index} was refused as lease-lost, and event {found.seq} stores it"
            )


@dataclass(frozen=True, slots=True)
class Renewed(Fact):
    """
    A lease was renewed at this time of the database's clock, so it lived then.

    Nobody can name a lease that was not granted yet. A time before its grant only says
    that the clock has stepped back since; and when the ledger of the lease itself says
    that it did, a time after the lease's end says nothing either.
    """

    lease_id: UUID
    at: datetime

    def denials(self, history: History) -> Iterator[str]:
        lives = [one for one in tenures(history) if one.claim.lease_id == self.lease_id]
        if not lives:
            yield f"{short(self.lease_id)} was renewed, and the ledger has no claim of it"
        for life in lives:
            if life.end is None or life.end.at >= self.at - _ROUNDING:
                continue
            if not _steps_back(history, life.claim, life.end):
                yield f"{short(self.lease_id)} was renewed at {self.at}, after it had ended"


@dataclass(frozen=True, slots=True)
class Noted(Fact):
    """An act was answered as done: the ledger has an event of one of these kinds."""

    kinds: frozenset[str]
    lease_id: UUID | None = None
    step_index: int | None = None
    as_: str | None = None

    def denials(self, history: History) -> Iterator[str]:
        for event in history.events:
            if (
                event.kind in self.kinds
                and self.lease_id in (None, event.lease_id)
                and self.step_index in (None, event.step_index)
                and (self.as_ is None or event.as_ in (None, self.as_))
            ):
                return
        as_ = f" as {self.as_}" if self.as_ else ""
        yield f"the ledger has no event {' or '.join(sorted(self.kinds))}{as_} of it"


def outcome_of(history: History, lease_id: UUID, step_index: int) -> Event | None:
    """The event that stores a step's outcome under this lease."""
    for event in history.events:
        if _is(event, Kind.REPORTED, lease_id) and event.step_index == step_index:
            return event
    return None


def _steps_back(history: History, first: Event, last: Event) -> bool:
    """Whether the clock went back between these events, as far as the ledger shows."""
    times = [event.at for event in history.events if first.seq <= event.seq <= last.seq]
    return any(later < earlier for earlier, later in pairwise(times))


def _is(event: Event, kind: Kind, lease_id: UUID) -> bool:
    return event.kind == kind and event.lease_id == lease_id

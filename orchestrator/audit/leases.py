"""The leases of a run: one after another, each with a higher fence, and only its holder writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.audit.finding import Finding, Rule, short
from orchestrator.audit.history import Event, History, Kind, token_of
from orchestrator.lifecycle import LEASED

# What only the holder of a lease writes. A lease may be ended by others.
_BY_THE_HOLDER = {Kind.CLAIMED, Kind.STARTED, Kind.STEP_STARTED, Kind.REPORTED}


@dataclass(frozen=True, slots=True)
class Tenure:
    """A lease from its claim to the event that ended it; `end` None: it lives."""

    claim: Event
    end: Event | None


def tenures(history: History) -> Iterator[Tenure]:
    """Every lease of a run, oldest first."""
    claim: Event | None = None
    for event in history.events:
        if event.kind == Kind.CLAIMED:
            if claim is not None:
                yield Tenure(claim, event)
            claim = event
        if claim is not None and event.to_state not in LEASED:
            yield Tenure(claim, event)
            claim = None
    if claim is not None:
        yield Tenure(claim, None)


def check_leases(history: History) -> Iterator[Finding]:
    """
    A lease begins with a claim, when no other lives; its fence is higher than any before.

    What happens while it lives happens under it, and what holders write is written by the
    token that it was granted to. A claim belongs to one request, which says so too as long as
    it is remembered.
    """
    claim: Event | None = None
    highest = 0
    for event in history.events:
        if event.kind == Kind.CLAIMED:
            if claim is not None:
                what = f"claimed while {short(claim.lease_id)} of event {claim.seq} lived"
                yield Finding(history.run_id, Rule.LEASE_OVERLAP, what, event.seq)
            yield from _check_claim(history, event, highest)
            claim, highest = event, max(highest, event.fence or 0)
        elif _lease(event) != (_lease(claim) if claim else (None, None, None)):
            holder = f"{short(claim.lease_id)} of {claim.executor}" if claim else "no lease"
            what = f"{event.kind} under {short(event.lease_id)} of {event.executor}, not {holder}"
            yield Finding(history.run_id, Rule.FOREIGN_LEASE, what, event.seq)
        if event.kind in _BY_THE_HOLDER and event.actor != token_of(event.executor):
            what = f"{event.kind} by {event.actor}, under a lease of {event.executor}"
            yield Finding(history.run_id, Rule.NOT_THE_HOLDER, what, event.seq)
        if event.to_state not in LEASED:
            claim = None


def _check_claim(history: History, event: Event, highest: int) -> Iterator[Finding]:
    if None in (*_lease(event), event.request_id):
        what = "a claim without lease, fence, executor or request"
        yield Finding(history.run_id, Rule.LEASE_INCOMPLETE, what, event.seq)
    if event.fence is not None and event.fence <= highest:
        what = f"fence {event.fence} is not above {highest}"
        yield Finding(history.run_id, Rule.FENCE_NOT_GROWING, what, event.seq)
    if event.granted is False:
        what = f"claimed for request {event.request_id}, which did not get {short(event.lease_id)}"
        yield Finding(history.run_id, Rule.GRANT_DISAGREES, what, event.seq)


def _lease(event: Event) -> tuple[object, ...]:
    return (event.lease_id, event.fence, event.executor)

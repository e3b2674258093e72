"""A run's life: the stretches of time that the ledger tells, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from orchestrator.lifecycle import LEASED, OVER, Ending, RunState
from orchestrator.pages.duration import duration_text
from orchestrator.pages.event_words import detail_of, words_of
from orchestrator.store.events import Event

# Noted while a state and a lease went on.
_MARKS: Final = frozenset({"step-started", "abort-requested"})


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened within a phase without ending it."""

    at: datetime
    words: str


@dataclass(frozen=True, slots=True)
class Phase:
    """
    One state, under one lease or none, at one step.

    Attributes:
        seq: The number of the event that began it.
        name: What it was, where the state alone says too little: a back-off.
        ended_at: None while it goes on; what is over goes on for ever.
        step_index: Of a leased run; None when what is known of it does not say.
        holder, fence: Of the lease.
    """

    seq: int
    state: str
    name: str
    began_by: str
    began_at: datetime
    ended_at: datetime | None
    step_index: int | None
    holder: str | None
    fence: int | None
    marks: tuple[Mark, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether the run was over, if perhaps not for good."""
        return self.state in OVER

    @property
    def lasted(self) -> str | None:
        """How long, in words; None while it goes on."""
        return None if self.ended_at is None else duration_text(self.ended_at - self.began_at)


def life_of(newest_first: Sequence[Event], *, step_index: int) -> list[Phase]:
    """
    The phases of a run, oldest first.

    Args:
        newest_first: Its events; when the first of all are missing, so is what they tell.
        step_index: The run's present one.
    """
    phases: list[Phase] = []
    for event in reversed(newest_first):
        if phases and event.kind in _MARKS:
            mark = Mark(event.at, words_of(event))
            phases[-1] = replace(phases[-1], marks=(*phases[-1].marks, mark))
            continue
        if phases:
            phases[-1] = _ended(phases[-1], event)
        phases.append(_begun(event))
    if phases and phases[-1].state in LEASED:
        phases[-1] = replace(phases[-1], step_index=step_index)
    return phases


def _begun(event: Event) -> Phase:
    is_leased = event.to_state in LEASED
    return Phase(
        seq=event.seq,
        state=event.to_state,
        name=_name(event),
        began_by=words_of(event),
        began_at=event.at,
        ended_at=None,
        step_index=None,
        holder=event.executor if is_leased else None,
        fence=event.fence if is_leased else None,
    )


def _ended(phase: Phase, event: Event) -> Phase:
    # What ends a lease names the step that it was at.
    at_step = detail_of(event).get("stepIndex") if phase.state in LEASED else None
    return replace(phase, ended_at=max(event.at, phase.began_at), step_index=at_step)


def _name(event: Event) -> str:
    if event.to_state == RunState.SCHEDULED:
        if event.kind == Ending.RELEASED:
            return "pause"
        return "back-off" if detail_of(event).get("outcome") == "error" else "not due yet"
    if event.to_state == RunState.WAITING:
        is_asked = detail_of(event).get("outcome") == "awaiting-input"
        return "waits for input" if is_asked else "outcome unknown"
    return event.to_state

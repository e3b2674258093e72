"""The order of events: without a gap, each from where the last ended, nothing after the end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from orchestrator.audit.finding import Finding, Rule
from orchestrator.audit.history import ENDINGS, Event, History, Kind
from orchestrator.lifecycle import LEASED, OVER, RunState

_UNLEASED = (RunState.SCHEDULED, RunState.PENDING, RunState.WAITING)
_FAILED_OR_ABORTED = (RunState.FAILED, RunState.ABORTED)

# What each event may do to the state: written from the design, not from the statements.
LEGAL: dict[str, set[tuple[str | None, str]]] = {
    Kind.CREATED: {(None, RunState.SCHEDULED), (None, RunState.PENDING)},
    Kind.DUE: {(RunState.SCHEDULED, RunState.PENDING)},
    Kind.CLAIMED: {(RunState.PENDING, RunState.LOADING)},
    Kind.STARTED: {(RunState.LOADING, RunState.STARTED)},
    Kind.STEP_STARTED: {(state, RunState.STARTED) for state in LEASED},
    Kind.REPORTED: set(product(LEASED, (RunState.STARTED, *_UNLEASED, *OVER))),
    Kind.ABORT_REQUESTED: {(state, state) for state in LEASED},
    Kind.ABORTED: {(state, RunState.ABORTED) for state in _UNLEASED},
    Kind.RETRIED: {(state, RunState.PENDING) for state in _FAILED_OR_ABORTED},
    Kind.RESUMED: {(RunState.WAITING, RunState.PENDING)},
    Kind.RESOLVED: set(
        product(
            (RunState.WAITING,),
            (RunState.PENDING, RunState.FINISHED, RunState.ABORTED),
        )
    ),
    Kind.TIMED_OUT: set(product((RunState.WAITING,), (RunState.PENDING, RunState.FAILED))),
    **{ending: set(product(LEASED, (*_UNLEASED, *_FAILED_OR_ABORTED))) for ending in ENDINGS},
}

# What a reported outcome may make of the run; a success depends on whether a step follows.
_AFTER_SUCCESS = {
    False: {RunState.FINISHED},
    True: {RunState.STARTED, RunState.PENDING, RunState.ABORTED},
}
_AFTER = {
    "error": {RunState.FAILED, RunState.SCHEDULED, RunState.ABORTED},
    "unknown": {RunState.WAITING},
    "awaiting-input": {RunState.WAITING, RunState.ABORTED},
    "later": {RunState.SCHEDULED, RunState.ABORTED},
}


# What a `resolve` may make of the run; None: of before it was kept what it said.
_RESOLVED: dict[str | None, set[RunState]] = {
    "done": {RunState.FINISHED, RunState.PENDING, RunState.ABORTED},
    "run-again": {RunState.PENDING},
    "abort": {RunState.ABORTED},
    None: {RunState.FINISHED, RunState.PENDING, RunState.ABORTED},
}


def check_order(history: History) -> Iterator[Finding]:
    """
    The events are numbered 1, 2, 3 …; each begins in the state where the one before
    ended, and makes a change that its kind may make. One outcome ends the run:
    nothing follows `finished`, only an operator's retry follows `failed` and `aborted`.
    """
    state: str | None = None
    last = 0
    for event in history.events:
        if event.seq != last + 1:
            yield Finding(
                history.run_id, Rule.SEQ_GAP, f"{event.seq} follows {last or 'nothing'}", event.seq
            )
        if state in OVER and (state == RunState.FINISHED or event.kind != Kind.RETRIED):
            what = f"{event.kind} follows the end: the run was {state}"
            yield Finding(history.run_id, Rule.AFTER_THE_END, what, event.seq)
        elif event.from_state != state:
            what = f"{event.kind} begins at {event.from_state}, the event before ended at {state}"
            yield Finding(history.run_id, Rule.BROKEN_CHAIN, what, event.seq)
        if (event.from_state, event.to_state) not in LEGAL.get(event.kind, ()):
            what = f"{event.kind} may not lead from {event.from_state} to {event.to_state}"
            yield Finding(history.run_id, Rule.ILLEGAL_TRANSITION, what, event.seq)
        elif event.kind == Kind.REPORTED and event.to_state not in _after(event):
            what = f"the outcome {event.outcome} made the run {event.to_state}"
            yield Finding(history.run_id, Rule.OUTCOME_STATE, what, event.seq)
        elif event.kind == Kind.RESOLVED and event.to_state not in _RESOLVED.get(event.as_, ()):
            what = f"resolved as {event.as_}, the run became {event.to_state}"
            yield Finding(history.run_id, Rule.OUTCOME_STATE, what, event.seq)
        state, last = event.to_state, event.seq


def _after(event: Event) -> set[RunState]:
    if event.outcome == "success":
        return _AFTER_SUCCESS[event.next_step is not None]
    return _AFTER.get(event.outcome or "", set())

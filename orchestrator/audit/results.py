"""The steps of a run: one after another, and one result for each."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.audit.finding import Finding, Rule
from orchestrator.audit.history import Event, History, Kind
from orchestrator.lifecycle import NEXT_STEP, RunState

SUCCESS = "success"
DONE = "done"
_FINISHED = "finished"
_OF_A_STEP = {Kind.REPORTED, Kind.STEP_STARTED}


def check_results(history: History) -> Iterator[Finding]:
    """
    Each event that names a step names the one where the run is, which never falls. A step
    has one success at most, reported or said by an operator, and its result stands among
    the steps; no other result stands there.
    """
    here = {0}
    begun: set[int] = set()
    succeeded: set[int] = set()
    perhaps: set[int] = set()
    for event in history.events:
        index = event.step_index
        if index is None:
            if event.kind in _OF_A_STEP:
                what = f"{event.kind} names no step"
                yield Finding(history.run_id, Rule.WRONG_STEP, what, event.seq)
            continue
        if index not in here:
            what = f"{event.kind} of step {index}, the run was at step {max(here)}"
            yield Finding(history.run_id, Rule.WRONG_STEP, what, event.seq)
        if _succeeds(event):
            if index in succeeded:
                what = f"step {index} has a second result"
                yield Finding(history.run_id, Rule.SECOND_RESULT, what, event.seq)
            succeeded.add(index)
        elif event.kind == Kind.STEP_STARTED:
            begun.add(index)
        elif event.kind == Kind.RESOLVED and event.as_ is None:
            perhaps.add(index)
        here = _following(event, index, begun)
    if history.run is not None and history.run.step_index not in here:
        what = f"the row is at step {history.run.step_index}, the ledger at {max(here)}"
        yield Finding(history.run_id, Rule.ROW_DISAGREES, what)
    yield from _check_stored(history, succeeded, perhaps)


def _succeeds(event: Event) -> bool:
    return (event.kind, event.outcome) == (Kind.REPORTED, SUCCESS) or (event.kind, event.as_) == (
        Kind.RESOLVED,
        DONE,
    )


def _following(event: Event, index: int, begun: set[int]) -> set[int]:
    """The steps at which the run may be after this event of this step."""
    match event.kind:
        case Kind.REPORTED:
            return {index + 1 if event.next_step is not None else index}
        case Kind.RETRIED:
            # A mutating step that had begun is executed again under the next number, and so
            # is any step that the adapter has handed out.
            return {index + 1 if index in begun or event.as_ == NEXT_STEP else index}
        case Kind.TIMED_OUT | Kind.RESOLVED if event.to_state == RunState.PENDING:
            return {index + 1}
        case Kind.RESOLVED if event.to_state == RunState.ABORTED and event.as_ == DONE:
            # It was done, while an abort waited.
            return {index + 1}
        case Kind.RESOLVED if event.to_state == RunState.ABORTED and event.as_ is None:
            return {index, index + 1}
    return {index}


def _check_stored(history: History, succeeded: set[int], perhaps: set[int]) -> Iterator[Finding]:
    stored = {step.step_index for step in history.steps if step.state == _FINISHED}
    for index in sorted(stored - succeeded - perhaps):
        what = f"step {index} has a result that nobody reported"
        yield Finding(history.run_id, Rule.RESULT_WITHOUT_REPORT, what)
    for index in sorted(succeeded - stored):
        what = f"the result of step {index} is not stored"
        yield Finding(history.run_id, Rule.REPORT_WITHOUT_RESULT, what)

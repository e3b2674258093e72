"""One run, step after step, for as long as the orchestrator answers with the next."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from tests.compat.double.fields import Malformed
from tests.compat.double.journal import CRASHED, MALFORMED, Journal
from tests.compat.double.orchestrator import Orchestrator, Unanswered
from tests.compat.double.points import Point, Points
from tests.compat.double.runs import Run, UnmappableStep, run_of
from tests.compat.double.steps import Given, Outcome, Steps

CHAINED = "chained"
CHAIN_ENDED = "chain_ended"


@dataclass
class Chain:
    """
    Follows runs, each in the thread that calls.

    Attributes:
        stopping: Set when the process is to end: the step that is being executed is
            finished and reported, and what the answer brings is dropped.
    """

    orchestrator: Orchestrator
    steps: Steps
    points: Points
    journal: Journal
    stopping: threading.Event = field(default_factory=threading.Event)

    def mapped(self, value: object) -> Run | None:
        """
        The run that was handed out; one whose step cannot be mapped is reported.

        Raises:
            Malformed: It cannot be executed.
        """
        try:
            return run_of(value)
        except UnmappableStep as unmappable:
            outcome = Outcome("error", str(unmappable))
            self._report(unmappable.run_id, unmappable.step_index, outcome)
            raise

    def follow(self, run: Run, given: Given | None = None) -> None:
        """Execute the current step of a run, and those that its reports are answered with."""
        following: Run | None = run
        try:
            while following is not None:
                following = self._once(following, given)
                given = None
        except Malformed as malformed:
            self.note_malformed(malformed)
        except Exception as crash:
            self.journal.write(CRASHED, run=run.id, why=repr(crash))
            raise

    def note_malformed(self, malformed: Malformed) -> None:
        """Say what could not be understood: a test fails by it."""
        self.journal.write(MALFORMED, why=str(malformed))

    def _once(self, run: Run, given: Given | None) -> Run | None:
        self.points.reach(Point.DISPATCHED, run)
        outcome = self.steps.execute(run, given)
        self.points.reach(Point.BEFORE_REPORT, run)
        told = self._report(run.id, run.step_index, outcome)
        if told is None:
            return None
        following = self.mapped(told)
        if following is None or self.stopping.is_set():
            return None
        if following.id != run.id or following.step_index <= run.step_index:
            raise Malformed(
                f"update-step: run {following.id} at step {following.step_index} does not"
                f" follow run {run.id} at step {run.step_index}"
            )
        self.journal.write(CHAINED, run=run.id, step=following.step_index)
        return following

    def _report(self, run_id: int, step_index: int, outcome: Outcome) -> Any:
        try:
            return self.orchestrator.update_step(report_of(run_id, step_index, outcome))
        except Unanswered as unanswered:
            self.journal.write(CHAIN_ENDED, run=run_id, step=step_index, why=str(unanswered))
            return None


def report_of(run_id: int, step_index: int, outcome: Outcome) -> dict[str, Any]:
    """The body of a report, member by member as it was recorded."""
    context = {"status": outcome.status}
    execution = {"type": outcome.status}
    if outcome.message is not None:
        context["error"] = execution["message"] = outcome.message
    if outcome.selected_option is not None:
        context["selectedOption"] = outcome.selected_option
    attributes = {"done": outcome.is_done, "context": context}
    return {
        "runId": run_id,
        "stepUpdate": {"stepIndex": step_index, "attributes": attributes},
        "executionStatus": execution,
    }

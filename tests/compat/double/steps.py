"""How each kind of step is executed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.compat.double.agent import Agent, AgentRefused
from tests.compat.double.definitions import Kind
from tests.compat.double.fields import Malformed
from tests.compat.double.orchestrator import Orchestrator, Unanswered
from tests.compat.double.points import Point, Points
from tests.compat.double.run_store import DONE, EXECUTING, RunStore
from tests.compat.double.runs import Run
from tests.compat.double.schema import Schema

Given = dict[str, Any]


class StepFailed(Exception):
    """A step that cannot be executed; its words go into the report."""


@dataclass(frozen=True)
class Outcome:
    """What is reported of a step."""

    status: str
    message: str | None = None
    selected_option: str | None = None

    @property
    def is_done(self) -> bool:
        return self.status != "awaiting-input"


SUCCESS = Outcome("success")
AWAITING_INPUT = Outcome("awaiting-input")


@dataclass(frozen=True)
class Steps:
    """Executes one step at a time, with what it needs for that."""

    orchestrator: Orchestrator
    agent: Agent
    store: RunStore
    points: Points

    def execute(self, run: Run, given: Given | None) -> Outcome:
        """
        Execute the current step of a run.

        Args:
            given: What the trigger brought for a step that waits.
        """
        execute = {
            Kind.GUIDANCE: self._guide,
            Kind.CONDITION: self._choose,
            Kind.READ: self._read,
            Kind.UPDATE: self._update,
            Kind.ACTION: self._act,
        }[run.definition.kind]
        try:
            return execute(run, given)
        except (StepFailed, Unanswered, AgentRefused) as failure:
            return Outcome("error", str(failure))

    def _guide(self, run: Run, given: Given | None) -> Outcome:
        if given is None:
            return self._await(run)
        self.store.put(run.id, run.step_index, executionResult=given)
        return SUCCESS

    def _choose(self, run: Run, given: Given | None) -> Outcome:
        if given is None:
            return self._await(run)
        chosen = given.get("selectedOption")
        if chosen not in run.definition.options:
            raise StepFailed(f"{chosen!r} is not offered")
        self.store.put(run.id, run.step_index, executionResult={"answer": chosen})
        return Outcome("success", selected_option=chosen)

    def _read(self, run: Run, given: Given | None) -> Outcome:
        names: list[str] = self._arguments(run)["fieldNames"]
        self._known(self.orchestrator.schema(run).fields, names)
        record = self._logged(
            run,
            {"type": "read", "action": "index", "status": "pending"},
            lambda: self.agent.read(run, names),
        )
        self.store.put(run.id, run.step_index, executionResult=record)
        return SUCCESS

    def _update(self, run: Run, given: Given | None) -> Outcome:
        arguments = self._arguments(run)
        name: str = arguments["fieldName"]

        def write(schema: Schema) -> Callable[[], Any]:
            self._known(schema.fields, [name])
            return lambda: self.agent.update(run, {name: arguments["value"]})

        return self._write(run, given, {"action": "update", "label": "updated"}, write)

    def _act(self, run: Run, given: Given | None) -> Outcome:
        action: str = self._arguments(run)["actionName"]

        def write(schema: Schema) -> Callable[[], Any]:
            self._known(schema.endpoints, [action])
            return lambda: self.agent.act(run, schema.endpoints[action], action)

        said = {"action": "action", "label": f'triggered the action "{action}"'}
        return self._write(run, given, said, write)

    def _write(
        self,
        run: Run,
        given: Given | None,
        said: dict[str, str],
        write: Callable[[Schema], Callable[[], Any]],
    ) -> Outcome:
        """
        Write once under this step index, as far as the store remembers.

        Its mark is set before the log is asked, as nothing tells that it comes later:
        a step that is given anew under the index of a refused one fails for ever.
        """
        kept = self.store.get(run.id, run.step_index) or {}
        phase = kept.get("idempotencyPhase")
        if phase == DONE:
            return SUCCESS
        if phase == EXECUTING:
            raise StepFailed("an earlier execution of this step was cut off")
        writing = write(self.orchestrator.schema(run))
        if run.definition.is_confirmed:
            if given is None:
                return self._await(run)
            if "pendingData" not in kept:
                raise StepFailed("nothing is known of what was to be confirmed")
            if given.get("userConfirmed") is not True:
                return SUCCESS
        self.store.put(run.id, run.step_index, idempotencyPhase=EXECUTING)
        result = self._logged(run, {"type": "write", **said, "status": "pending"}, writing)
        self.store.put(run.id, run.step_index, idempotencyPhase=DONE, executionResult=result)
        return SUCCESS

    def _await(self, run: Run) -> Outcome:
        pending = run.definition.arguments or {}
        self.store.put(run.id, run.step_index, pendingData=pending)
        return AWAITING_INPUT

    def _logged(self, run: Run, attributes: dict[str, Any], access: Callable[[], Any]) -> Any:
        """Reach for data between the two lines of the activity log."""
        self.points.reach(Point.BEFORE_ACTIVITY, run)
        activity = self.orchestrator.begin_activity(run, {**attributes, "records": [run.record_id]})
        self.points.reach(Point.BEFORE_AGENT, run)
        try:
            result = access()
        except AgentRefused:
            self.orchestrator.end_activity(run, activity, "failed")
            raise
        self.points.reach(Point.AFTER_AGENT, run)
        self.orchestrator.end_activity(run, activity, "completed")
        return result

    def _arguments(self, run: Run) -> dict[str, Any]:
        assert run.definition.arguments is not None, run.definition
        return run.definition.arguments

    def _known(self, known: dict[str, str], names: list[str]) -> None:
        lacking = [name for name in names if name not in known]
        if lacking:
            raise Malformed(f"schema: knows {sorted(known)}, and not {lacking}")

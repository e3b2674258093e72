"""Plays a run: the steps of a definition one after another, by the rules of the real thing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from executor.handlers import App
from executor.output import as_json
from executor.testing.call import Outcome, call
from executor.testing.definition import Definition, StepDefinition, read_definition
from executor.testing.played import Played, PlayedStep
from executor.wire import Run, Step

MOST_EXECUTIONS = 1000
RUN_ID = "00000000-0000-7000-8000-000000000001"
TIMED_OUT: Final = object()
"""Given as an answer: nobody answered in time."""


def play(
    app: App,
    definition: Mapping[str, Any] | Path,
    input: Any = None,  # noqa: A002 - the word that the wire and the docs have for it
    *,
    answers: Mapping[str, Sequence[Any]] | None = None,
    max_failures: int = 3,
) -> Played:
    """
    Play one run of a workflow to its end, or until it waits for what was not given.

    Handlers are called as an executor calls them: typed input is read first,
    outputs and inputs pass through JSON. Nothing is waited for: a retry and a
    `Later` come at once, and time-outs do not pass.

    Args:
        definition: The JSON that is put as a workflow, or the file that holds it.
        input: The run's input; `{}` when left out.
        answers: By step, what resumes it, one for each time that it waits.
            `TIMED_OUT` among them lets the wait end as its `on_timeout` says. That
            an answer fits the schema is the orchestrator's to check.
        max_failures: The run's budget, where a step has none of its own.

    Raises:
        ValueError: The definition is none.
        RuntimeError: The run goes round for ever.
    """
    read = read_definition(definition)
    playing = _Playing(
        app=app,
        definition=read,
        input=_json({} if input is None else input),
        answers={name: list(given) for name, given in (answers or {}).items()},
        max_failures=max_failures,
        step=read.steps[0],
    )
    for _ in range(MOST_EXECUTIONS):
        if (end := playing.advance()) is not None:
            return end
    raise RuntimeError(f"The run was not over after {MOST_EXECUTIONS} executions of its steps.")


@dataclass
class _Playing:
    """
    A run between two executions.

    Attributes:
        step: The step to execute next.
        answer: What resumes it, in a list of one; empty when it was not resumed.
    """

    app: App
    definition: Definition
    input: Any
    answers: dict[str, list[Any]]
    max_failures: int
    step: StepDefinition
    index: int = 0
    attempt: int = 1
    failures: int = 0
    answer: list[Any] = field(default_factory=list)
    finished: dict[str, Any] = field(default_factory=dict)
    played: list[PlayedStep] = field(default_factory=list)

    def advance(self) -> Played | None:
        """Execute the step; the run as it ended, if it did."""
        outcome = self._execute()
        if outcome is None:
            message = f"There is no handler for steps of type {self.step.type}."
            return self._failed("no-handler", message)
        match outcome["status"]:
            case "success":
                return self._succeeded(outcome["output"], outcome.get("next"))
            case "unknown":
                waiting_for = {"reason": "outcome-unknown", "message": outcome["message"]}
                return Played("waiting", tuple(self.played), waiting_for=waiting_for)
            case "awaiting-input":
                return self._await(outcome["waitingFor"])
            case "later":
                self.attempt += 1
                return None
        return self._erred(outcome["message"], retryable=outcome["retryable"])

    def _execute(self) -> Outcome | None:
        handler = self.app.find(self.step.type)
        if handler is None:
            return None
        step = Step(
            index=self.index,
            name=self.step.name,
            type=self.step.type,
            params=self.step.params,
            input=self.answer[0] if self.answer else self.input,
            outputs=self._outputs(),
            resumed=bool(self.answer),
            mutating=handler.mutating or self.step.mutating,
            timeout_seconds=self.step.timeout_seconds,
            idempotency_key=f"{RUN_ID}:{self.index}",
        )
        run = Run(
            id=RUN_ID,
            workflow=self.definition.name,
            queue="default",
            input=self.input,
            attempt=self.attempt,
            failures=self.failures,
        )
        progress: list[bytes] = []
        outcome = call(handler, run, step, send_progress=progress.append)
        self.played.append(
            PlayedStep(
                step.name,
                step.type,
                step.index,
                step.input,
                step.outputs or {},
                outcome["status"],
                outcome.get("output"),
                outcome.get("message"),
                tuple(orjson.loads(said) for said in progress),
            )
        )
        return outcome

    def _outputs(self) -> dict[str, Any]:
        used = self.step.uses or tuple(self.finished)[-1:]
        return {name: self.finished[name] for name in used if name in self.finished}

    def _succeeded(self, output: Any, chosen: str | None) -> Played | None:
        offered = self.step.next
        if chosen is None and not offered:
            return Played("finished", tuple(self.played), output=output)
        if chosen is None and len(offered) == 1:
            (chosen,) = offered
        if chosen not in offered:
            what = "none was chosen" if chosen is None else f"{chosen} was chosen"
            return self._misled(f"and {what}")
        # Taken out first, so that the last one is always the previous step.
        self.finished.pop(self.step.name, None)
        self.finished[self.step.name] = output
        self._go_on(chosen)
        return None

    def _await(self, waiting_for: Mapping[str, Any]) -> Played | None:
        on_timeout = waiting_for.get("onTimeout", "fail")
        if on_timeout != "fail" and on_timeout["next"] not in self.step.next:
            return self._misled(f"and onTimeout names {on_timeout['next']}")
        given = self.answers.get(self.step.name)
        if not given:
            waits = {"reason": "input", **waiting_for}
            return Played("waiting", tuple(self.played), waiting_for=waits)
        self.attempt += 1
        answer = given.pop(0)
        if answer is not TIMED_OUT:
            self.answer = [_json(answer)]
        elif on_timeout == "fail":
            return self._failed("input-timed-out", f"Step {self.step.name} was not answered.")
        else:
            self._go_on(on_timeout["next"])
        return None

    def _erred(self, message: str, *, retryable: bool) -> Played | None:
        self.failures += 1
        if not retryable:
            return self._failed("step-failed", message)
        if self.failures >= (self.step.retry.max_failures or self.max_failures):
            return self._failed("failed-too-often", message)
        self.attempt += 1
        return None

    def _go_on(self, name: str) -> None:
        following = self.definition.step(name)
        self.attempt += following.queue != self.step.queue  # Another queue is another claim.
        self.step = following
        self.index += 1
        self.failures = 0
        self.answer = []

    def _misled(self, how: str) -> Played:
        offered = orjson.dumps(self.step.next).decode()
        return self._failed(
            "step-failed", f"Step {self.step.name} offers the next steps {offered}, {how}."
        )

    def _failed(self, code: str, message: str) -> Played:
        error = {"code": code, "message": message, "stepIndex": self.index}
        return Played("failed", tuple(self.played), error=error)


def _json(value: Any) -> Any:
    """A value as it is on the other side of the wire."""
    return orjson.loads(as_json(value))

"""What became of a run that was played."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["finished", "failed", "waiting"]


@dataclass(frozen=True)
class PlayedStep:
    """
    One execution of a step; one that is retried or resumed is executed again.

    Attributes:
        index: The `stepIndex`: the same for all executions until the next step.
        input: What the handler was given, as JSON has it.
        outputs: The earlier outputs that it was given, by step.
        outcome: success, error, unknown, awaiting-input or later.
        output: Of a success.
        message: Of an error or an unknown outcome.
        progress: All that the handler said of its progress.
    """

    name: str
    type: str
    index: int
    input: Any
    outputs: Mapping[str, Any]
    outcome: str
    output: Any = None
    message: str | None = None
    progress: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Played:
    """
    What became of a run.

    Attributes:
        state: `waiting` when it waits for input that no answer was given for, or
            for someone to find out what a mutating step has done.
        output: The last step's, of a run that finished.
        error: ``{"code", "message", "stepIndex"}`` of a run that failed.
        waiting_for: ``{"reason", …}`` of a run that waits.
        steps: Every execution, in order.
    """

    state: State
    steps: tuple[PlayedStep, ...]
    output: Any = None
    error: Mapping[str, Any] | None = None
    waiting_for: Mapping[str, Any] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the steps, once for each execution, in order."""
        return tuple(step.name for step in self.steps)

    def step(self, name: str) -> PlayedStep:
        """
        The last execution of a step.

        Raises:
            LookupError: It was not executed.
        """
        for step in reversed(self.steps):
            if step.name == name:
                return step
        raise LookupError(f"step {name} was not executed; these were: {', '.join(self.names)}")

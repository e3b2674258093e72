"""Handlers: the functions that execute steps, and how they are registered."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from executor.outcomes import StepCancelled
from executor.output import as_json
from executor.step_input import StepInput, step_input_of
from executor.wire import Run, Step

LARGEST_PROGRESS_BYTES = 4 * 1024


@dataclass(frozen=True)
class StepContext:
    """
    What a handler is given.

    Attributes:
        run: The run that the step belongs to.
        step: The step as its workflow defines it.
        input: The run's input; after a resume, the input that resumed it. Of the
            type that the handler wants, if it says one.
        outputs: Outputs of the earlier steps that the definition says this one
            uses, by name; of the previous step when it says none.
        fence: Grows with every lease of the run. A downstream system that keeps
            the highest it has seen can refuse an executor that was overtaken.
        idempotency_key: The same for every attempt at this step of this run.
        aborted: Set when the handler shall stop: time-out, abort, lease lost,
            or the executor is being stopped.
    """

    run: Run
    step: Step
    input: Any
    outputs: Mapping[str, Any]
    fence: int
    idempotency_key: str
    aborted: threading.Event = field(default_factory=threading.Event)
    send_progress: Callable[[bytes], None] = field(default=lambda _: None, repr=False)

    @property
    def resumed(self) -> bool:
        """Whether the step waited, and `input` is what it waited for."""
        return self.step.resumed

    def progress(self, progress: Any) -> None:
        """Say how far the step is; the next heartbeat takes it along, at most 4 KiB of JSON."""
        self.send_progress(as_json(progress, largest_bytes=LARGEST_PROGRESS_BYTES))

    def stop_if_aborted(self) -> None:
        """
        End the handler here if it was told to stop.

        Raises:
            StepCancelled: It was; let it pass.
        """
        if self.aborted.is_set():
            raise StepCancelled(f"step {self.step.name} of run {self.run.id} was told to stop")


HandlerFunction = Callable[..., Any]
"""Takes the context, and the input if it has a second parameter; plain or `async def`."""

Function = TypeVar("Function", bound=HandlerFunction)


@dataclass(frozen=True)
class Handler:
    """
    A registered function.

    Attributes:
        mutating: Its effect may not be repeated: it begins only when the
            orchestrator has noted that it does.
        timeout_seconds: Its own limit; a definition's comes first.
    """

    step_type: str
    function: HandlerFunction
    input: StepInput
    mutating: bool
    timeout_seconds: float | None

    def call(self, context: StepContext) -> Any:
        """Call the function; an `async def` one returns what is to be awaited."""
        if self.input.is_passed:
            return self.function(context, context.input)
        return self.function(context)


class App:
    """The handlers of one executor, by the type of step that they execute."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def step(
        self,
        step_type: str,
        *,
        input: Any = None,  # noqa: A002 - the word that the wire and the docs have for it
        mutating: bool = False,
        timeout: float | None = None,
    ) -> Callable[[Function], Function]:
        """
        Register a function, plain or `async def`, for a type of step.

        Args:
            input: The type that the step's input must fit: a pydantic model, a
                dataclass, or anything else that pydantic can read. The annotation
                of the function's second parameter says the same. An input that does
                not fit is an error that is not retried; the function is not called.
            mutating: Say so of every effect that must not happen twice.
            timeout: Seconds after which the handler is told to stop.

        Raises:
            ValueError: The type has a handler already, the time-out is none, or
                the function cannot be called with what a handler is given.
        """
        if timeout is not None and not timeout > 0:
            raise ValueError(f"The time-out of step {step_type!r} must be more than 0 seconds.")

        def register(function: Function) -> Function:
            self._add(
                Handler(step_type, function, step_input_of(function, input), mutating, timeout)
            )
            return function

        return register

    def include(self, other: "App") -> None:
        """Take over all handlers of another app."""
        for handler in other:
            self._add(handler)

    def find(self, step_type: str) -> Handler | None:
        """The handler for a type of step."""
        return self._handlers.get(step_type)

    def _add(self, handler: Handler) -> None:
        if handler.step_type in self._handlers:
            raise ValueError(f"Step type {handler.step_type!r} has a handler already.")
        self._handlers[handler.step_type] = handler

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers.values())

    @property
    def step_types(self) -> tuple[str, ...]:
        return tuple(sorted(self._handlers))

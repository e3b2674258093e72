"""The handlers of the acceptance tests: each begins with a line in the journal.

A gate is opened by the test: the gate that a run's input names, with the
executor's name behind it when the input says `"each": true`.
"""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from opentelemetry import trace
from pydantic import BaseModel, model_validator

from executor import App, AwaitInput, Later, StepContext, StepError
from tests.acceptance.downstream import DOWNSTREAM, Effect, cause
from tests.acceptance.journal import GATES, JOURNAL, Entry, Gates, Journal

# Forty that wait at a time must leave the machine to what they wait for.
LOOK_AGAIN_SECONDS = 0.05

app = App()


def note(context: StepContext, what: str = "began") -> None:
    """Write a line into the journal."""
    Journal(Path(os.environ[JOURNAL])).write(
        Entry(
            what,
            context.run.id,
            context.idempotency_key,
            context.fence,
            os.environ["EXECUTOR_NAME"],
            os.getpid(),
        )
    )


def gate_is_open(context: StepContext) -> bool:
    name = context.input["gate"]
    if context.input.get("each"):
        name = f"{name}-{os.environ['EXECUTOR_NAME']}"
    return Gates(Path(os.environ[GATES])).is_open(name)


def by_whom() -> dict[str, Any]:
    return {"by": os.environ["EXECUTOR_NAME"]}


@app.step("record")
def record(context: StepContext) -> dict[str, Any]:
    note(context)
    return by_whom()


@app.step("hold")
def hold(context: StepContext) -> dict[str, Any]:
    """Wait for the gate; stop when told to."""
    note(context)
    while not gate_is_open(context):
        context.stop_if_aborted()
        time.sleep(LOOK_AGAIN_SECONDS)
    return by_whom()


@app.step("stubborn")
def stubborn(context: StepContext) -> dict[str, Any]:
    """Wait for the gate, whatever it is told."""
    note(context)
    while not gate_is_open(context):
        time.sleep(LOOK_AGAIN_SECONDS)
    note(context, "returned")
    return by_whom()


@app.step("charge", mutating=True)
def charge(context: StepContext) -> dict[str, Any]:
    """An effect that must not happen twice, then the gate."""
    note(context)
    while not gate_is_open(context):
        context.stop_if_aborted()
        time.sleep(LOOK_AGAIN_SECONDS)
    return by_whom()


class Payment(BaseModel):
    """
    When `pay` waits for a gate: the one named after the moment and its executor.

    Attributes:
        before: The moment; "mark" is before the orchestrator knows that the step begins.
        stubborn: Whether it goes on waiting when it is told to stop.
    """

    before: Literal["mark", "effect", "return"]
    stubborn: bool = False

    @model_validator(mode="after")
    def hold_before_mark(self) -> Self:
        # Input is read before the write-ahead: what does not fit has not begun.
        while self.is_held("mark"):
            time.sleep(LOOK_AGAIN_SECONDS)
        return self

    def hold(self, context: StepContext, before: str) -> None:
        while self.is_held(before):
            if not self.stubborn:
                context.stop_if_aborted()
            time.sleep(LOOK_AGAIN_SECONDS)

    def is_held(self, before: str) -> bool:
        gates = Gates(Path(os.environ[GATES]))
        gate_name = f"{before}-{os.environ['EXECUTOR_NAME']}"
        return before == self.before and not gates.is_open(gate_name)


@app.step("pay", mutating=True)
def pay(context: StepContext, payment: Payment) -> dict[str, Any]:
    """An effect downstream, with a gate on either side of it."""
    note(context)
    payment.hold(context, "effect")
    effect = Effect(context.run.id, context.idempotency_key, context.fence)
    if not cause(os.environ[DOWNSTREAM], effect):
        raise StepError("somebody has been there with a later lease")
    payment.hold(context, "return")
    return by_whom()


@app.step("poison")
def poison(context: StepContext) -> None:
    note(context)
    os._exit(9)


@app.step("brief")
def brief(context: StepContext) -> dict[str, Any]:
    """A little work."""
    note(context)
    time.sleep(context.input["seconds"])
    return by_whom()


@app.step("burn")
def burn(context: StepContext) -> dict[str, Any]:
    """Keep a processor busy without ever giving the interpreter up by itself."""
    note(context)
    until = time.monotonic() + context.input["seconds"]
    rounds = 0
    while time.monotonic() < until:
        rounds += sum(range(1000))
    return by_whom()


@app.step("block-loop")
async def block_loop(context: StepContext) -> dict[str, Any]:
    """Block the event loop that all `async def` handlers share."""
    note(context)
    time.sleep(context.input["seconds"])
    return by_whom()


@app.step("unfit")
def unfit(context: StepContext) -> Any:
    """An output that cannot be sent."""
    note(context)
    nested: list[Any] = []
    for _ in range(40):
        nested = [nested]
    return {
        "too-large": "x" * 300_000,
        "nan": {"value": float("nan")},
        "nul": {"value": "a\x00b"},
        "too-deep": nested,
    }[context.input["how"]]


@app.step("ask")
def ask(context: StepContext) -> dict[str, Any]:
    """Wait for input from outside once, and return it."""
    if not context.step.resumed:
        note(context, "asked")
        raise AwaitInput({"type": "object"})
    note(context)
    return {"got": context.input}


@app.step("later")
def later(context: StepContext) -> dict[str, Any]:
    """Come back a second later, once."""
    note(context)
    if context.run.attempt == 1:
        raise Later(datetime.now(UTC) + timedelta(seconds=1))
    return by_whom()


@app.step("fail")
def fail(context: StepContext) -> dict[str, Any]:
    """Fail as often as the input says."""
    note(context)
    if context.run.failures < context.input["times"]:
        raise StepError("no luck", retryable=context.input.get("retryable"))
    return by_whom()


@app.step("span")
async def span(context: StepContext) -> dict[str, Any]:
    """Make a span of its own, as the libraries that a handler calls may."""
    note(context)
    with trace.get_tracer("theirs").start_as_current_span("their own"):
        await asyncio.sleep(0)
    return by_whom()

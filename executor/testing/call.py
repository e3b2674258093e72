"""One call of a handler, as an executor makes it, in this thread."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import orjson

from executor import outcomes, verdict
from executor.handlers import Handler, StepContext
from executor.step_input import UnfitInputError
from executor.wire import Run, Step

Outcome = dict[str, Any]


def call(
    handler: Handler, run: Run, step: Step, *, send_progress: Callable[[bytes], None]
) -> Outcome:
    """What an executor would report of a step, as JSON has it."""
    try:
        step_input = handler.input.read(step.input)
    except UnfitInputError as unfit:
        return outcomes.error(str(unfit), retryable=False)
    context = StepContext(
        run=run,
        step=step,
        input=step_input,
        outputs=step.outputs or {},
        fence=run.attempt,
        idempotency_key=step.idempotency_key,
        send_progress=send_progress,
    )
    result, raised = _ended(handler, context)
    outcome = verdict.outcome_of(result, raised, None, mutating=step.mutating)
    read: Outcome = orjson.loads(orjson.dumps(outcome))
    return read


def _ended(handler: Handler, context: StepContext) -> tuple[Any, BaseException | None]:
    try:
        result = handler.call(context)
        if inspect.isawaitable(result):
            result = asyncio.run(_awaited(result))
    except KeyboardInterrupt:
        raise
    except BaseException as raised:  # noqa: BLE001 - as an executor takes it
        return None, raised
    return result, None


async def _awaited(awaitable: Any) -> Any:
    return await awaitable

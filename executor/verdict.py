"""What is reported of a step, given how its handler ended and whether it was told to stop."""

import asyncio
import re
from typing import Any

import orjson

from executor import outcomes
from executor.execution import Cancellation
from executor.outcomes import AwaitInput, Later, OutcomeUnknown, StepError, Success
from executor.output import UnfitOutputError, as_json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DELIBERATE = (StepError, AwaitInput, Later, OutcomeUnknown)


def timed_out(timeout_seconds: float | None, *, mutating: bool) -> dict[str, Any]:
    """The outcome of a step that was told to stop because its time was up."""
    message = f"timed out after {timeout_seconds:g} s" if timeout_seconds else "timed out"
    return outcomes.unknown(message) if mutating else outcomes.error(message, retryable=True)


def outcome_of(
    result: Any, raised: BaseException | None, cause: Cancellation | None, *, mutating: bool
) -> dict[str, Any] | None:
    """
    The outcome to report, or None when the step is to be executed again: elsewhere,
    or here once the lease is known to be ours still.

    A handler that was told to stop and yet returned an output, or raised one of
    the exceptions that steer a run, has said how its step ended, and that is
    worth more than what the cancellation would have made of it. Any other
    exception is then taken for its way of stopping.
    """
    if raised is None:
        return _success(result, mutating=mutating)
    if cause is None or isinstance(raised, _DELIBERATE):
        return _of_exception(raised, mutating=mutating)
    if cause is Cancellation.DRAINING or (cause is Cancellation.DEADLINE and not mutating):
        return None
    message = f"stopped: {cause.value}"
    return outcomes.unknown(message) if mutating else outcomes.error(message, retryable=False)


def _success(result: Any, *, mutating: bool) -> dict[str, Any]:
    success = result if isinstance(result, Success) else Success(result)
    try:
        outcome: dict[str, Any] = {
            "status": "success",
            "output": orjson.Fragment(as_json(success.output)),
        }
    except UnfitOutputError as unfit:
        return _unfit(unfit, mutating=mutating)
    if success.next is not None:
        if not _NAME.fullmatch(str(success.next)):
            wrong = UnfitOutputError(f"{success.next!r} is not the name of a step")
            return _unfit(wrong, mutating=mutating)
        outcome["next"] = str(success.next)
    return outcome


def _of_exception(raised: BaseException, *, mutating: bool) -> dict[str, Any]:
    if isinstance(raised, asyncio.CancelledError):
        raised = RuntimeError("the handler cancelled itself")
    outcome = outcomes.of_exception(raised, mutating=mutating)
    try:
        as_json(outcome)
    except UnfitOutputError as unfit:
        return _unfit(unfit, mutating=mutating)
    return outcome


def _unfit(unfit: UnfitOutputError, *, mutating: bool) -> dict[str, Any]:
    # The effect of a mutating step has happened; only its output is lost. An
    # error would end the run as if it had not.
    message = str(unfit)
    return outcomes.unknown(message) if mutating else outcomes.error(message, retryable=False)

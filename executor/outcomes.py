"""What a handler can say about its step, beyond returning an output."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

LONGEST_MESSAGE_CHARACTERS = 4000


@dataclass(frozen=True)
class Success:
    """An output together with the choice of what comes next."""

    output: Any = None
    next: str | None = None


class StepError(Exception):
    """
    The step failed.

    Args:
        message: What happened, for whoever looks at the run.
        retryable: Whether trying again can help. For a mutating step True says
            outright that nothing has happened; left out, an ordinary step may
            be tried again and a mutating one may not.
    """

    def __init__(self, message: str, *, retryable: bool | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable


class AwaitInput(Exception):
    """
    The run waits for input from outside and then executes this step again.

    Args:
        schema: JSON schema of what is wanted, or a type that pydantic can read
            (a model, a dataclass), whose schema it then is.
        timeout_seconds: How long to wait; for ever when left out.
        on_timeout: "fail", or the name of the step to go on with.
    """

    def __init__(
        self,
        schema: Mapping[str, Any] | type[Any],
        *,
        timeout_seconds: int | None = None,
        on_timeout: str | None = None,
    ) -> None:
        super().__init__("awaiting input")
        self.schema = (
            dict(schema) if isinstance(schema, Mapping) else TypeAdapter(schema).json_schema()
        )
        self.timeout_seconds = timeout_seconds
        self.on_timeout = on_timeout


class Later(Exception):
    """The step shall be executed again, not before a time (aware of its zone)."""

    def __init__(self, available_at: datetime) -> None:
        if available_at.tzinfo is None:
            raise ValueError("available_at needs a time zone")
        super().__init__(f"not before {available_at.isoformat()}")
        self.available_at = available_at


class OutcomeUnknown(Exception):
    """A mutating step may or may not have happened; a person has to find out."""


class StepCancelled(Exception):
    """The handler has stopped because it was told to."""


def error(message: str, *, retryable: bool) -> dict[str, Any]:
    """The outcome of a step that failed."""
    return {"status": "error", "message": presentable(message), "retryable": retryable}


def unknown(message: str) -> dict[str, Any]:
    """The outcome of a mutating step of which nobody knows whether it happened."""
    return {"status": "unknown", "message": presentable(message)}


def of_exception(raised: BaseException, *, mutating: bool) -> dict[str, Any]:
    """The outcome that an exception of a handler stands for."""
    match raised:
        case StepError():
            retryable = not mutating if raised.retryable is None else raised.retryable
            return error(str(raised), retryable=retryable)
        case AwaitInput():
            return {"status": "awaiting-input", "waitingFor": _waiting_for(raised)}
        case Later():
            return {"status": "later", "availableAt": _wire_time(raised.available_at)}
        case OutcomeUnknown():
            return unknown(str(raised))
        case _:
            return error(f"{type(raised).__name__}: {raised}", retryable=not mutating)


def presentable(message: str) -> str:
    """A message as the wire takes it: no NUL, no lone surrogate, not too long."""
    clean = message.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")
    return clean[:LONGEST_MESSAGE_CHARACTERS] or "no message"


def _waiting_for(wanted: AwaitInput) -> dict[str, Any]:
    waiting_for: dict[str, Any] = {"schema": wanted.schema}
    if wanted.timeout_seconds is not None:
        waiting_for["timeoutSeconds"] = wanted.timeout_seconds
    if wanted.on_timeout is not None:
        goes_on = wanted.on_timeout != "fail"
        waiting_for["onTimeout"] = {"next": wanted.on_timeout} if goes_on else "fail"
    return waiting_for


def _wire_time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")

"""What was typed into the fields of a form, as the JSON that it stands for.

Whether it is what a run waits for is not decided here, but by the desk, as for everyone.
What a field cannot say (an empty text) the API can.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.api.reader import read_json
from orchestrator.errors import DibsError, ValidationFailed

WHOLE: Final = "input"
"""The field that takes JSON, and how a refusal calls the input."""

CHOICE: Final = "choice"
"""The kind of a field that brings JSON of its own."""

_NUMBERS: Final[Mapping[str, tuple[type[int] | type[float], ...]]] = {
    "integer": (int,),
    "number": (int, float),
}
_NOT_THAT: Final = {
    CHOICE: "choose one of those that are offered",
    "integer": "must be a whole number, like 7",
    "number": "must be a number, like 7 or 7.25",
}


def typed_input(sent: Mapping[str, str]) -> Any:
    """
    The input that a form says: one field of JSON, or one field for each member.

    A member whose field was left empty is left out.

    Raises:
        ValidationFailed: A field does not hold what its kind says; one error for each.
    """
    if WHOLE in sent:
        return typed_json(sent[WHOLE], f"/{WHOLE}")
    value: dict[str, Any] = {}
    errors: list[dict[str, str]] = []
    for name, typed in sent.items():
        kind, separator, member = name.partition("/")
        if not separator or not typed.strip():
            continue
        try:
            value[member] = _read(kind, typed)
        except _NotThat as fault:
            errors.append({"path": f"/{WHOLE}/{member}", "message": str(fault)})
    if errors:
        raise ValidationFailed(errors)
    return value


def typed_json(typed: str, path: str) -> Any:
    """
    JSON that somebody typed, read as strictly as the API reads it.

    Args:
        path: The field, for the refusal.

    Raises:
        ValidationFailed: It is no JSON, or none that can be kept.
    """
    try:
        return read_json(typed.encode())
    except DibsError as unreadable:
        said = unreadable.message if typed.strip() else "it is needed"
        raise ValidationFailed([{"path": path, "message": said}]) from None


class _NotThat(Exception):
    """What was typed into a field is not of its kind."""


def _read(kind: str, typed: str) -> Any:
    if kind == "string":
        return typed
    try:
        value = read_json(typed.strip().encode())
    except DibsError:
        value = None
    if kind == CHOICE and value is not None:
        return value
    # A yes is an integer to Python.
    if isinstance(value, bool) or not isinstance(value, _NUMBERS.get(kind, ())):
        raise _NotThat(_NOT_THAT.get(kind, "is no field of this form"))
    return value

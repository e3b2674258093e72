"""A schema's refusal, as a caller can use it: every bad item by its JSON pointer."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.api.reader import pointer
from orchestrator.errors import ValidationFailed

_MOST_NAMED: Final = 100
_MOST_CHARACTERS_OF_A_PATH: Final = 200


def validation_failed(invalid: ValidationError, value: Any) -> ValidationFailed:
    """
    A schema's refusal, with a JSON pointer for each bad item.

    Args:
        value: What was validated. Union tags stand in pydantic's locations but
            in no document, so the pointer follows the value.
    """
    found = invalid.errors(include_url=False, include_context=False, include_input=False)
    return ValidationFailed(
        [
            {
                "path": _pointer(error, value)[:_MOST_CHARACTERS_OF_A_PATH],
                "message": error["msg"].removeprefix("Value error, "),
            }
            for error in found[:_MOST_NAMED]
        ]
    )


def _pointer(error: ErrorDetails, value: Any) -> str:
    path = ""
    for part in error["loc"]:
        if isinstance(value, list) and isinstance(part, int) and part < len(value):
            path, value = f"{path}/{part}", value[part]
        elif isinstance(value, dict) and part in value:
            path, value = pointer(path, str(part)), value[part]
    # The only place that is named and yet not there.
    return pointer(path, str(error["loc"][-1])) if error["type"] == "missing" else path

"""What every route of the adapter has: its own form of refusals and of bodies."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from orchestrator.api.answer import answer
from orchestrator.api.body import read_object
from orchestrator.api.problems import logged, note_code, retry_after_of, status_of
from orchestrator.api.validation import validation_failed
from orchestrator.api.wire.members import PAYLOAD_LIMIT_BYTES
from orchestrator.errors import DibsError

ROOT: Final = "/api/workflow-orchestrator"

Model = TypeVar("Model", bound="Sent")

compat = Blueprint("compat", __name__)


class Sent(BaseModel):
    """A JSON object of theirs: no coercion; a member that is not known is not ours to refuse."""

    model_config = ConfigDict(
        strict=True, extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=False
    )


def read(model: type[Model]) -> tuple[Model, dict[str, Any]]:
    """
    The present request's body, validated, and as it was sent.

    Raises:
        DibsError: As `read_object`, and `ValidationFailed`.
    """
    value = read_object(request.environ, limit_bytes=PAYLOAD_LIMIT_BYTES, required=True)
    try:
        return model.model_validate(value), value
    except ValidationError as invalid:
        raise validation_failed(invalid, value) from None


def nothing() -> Response:
    """What they take for nothing: the literal `null`, never an empty answer."""
    return answer(None)


@compat.errorhandler(Exception)
def answer_errors(exception: Exception) -> Response:
    """A refusal, or a surprise, as they expect it."""
    error: DibsError = logged(exception)
    note_code(error)
    status = status_of(type(error))
    told = {"status": status, "code": error.code, "detail": error.message}
    retry_after = retry_after_of(error)
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return answer({"errors": [told]}, status, headers)

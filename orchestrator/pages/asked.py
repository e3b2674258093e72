"""What a page is asked for, and what a form says: checked by the API's own models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from uuid import UUID

from flask import request
from pydantic import BaseModel, ValidationError

from orchestrator.api.refusals import MalformedRequest
from orchestrator.api.validation import validation_failed
from orchestrator.api.wire.members import Body, canonical_uuid
from orchestrator.pages.form import Form

Asked = TypeVar("Asked", bound=BaseModel)


class PageQuery(BaseModel):
    """What may stand behind the question mark of a page; no part of the API's description."""

    model_config = Body.model_config


def asked_address() -> str:
    """The page that is asked for, and all that stands behind its question mark as it was sent."""
    # A question mark at the end may be the last character of what is sought.
    return request.full_path if request.query_string else request.path


def asked_for(model: type[Asked]) -> Asked:
    """
    What stands behind the question mark; a field that is left empty is not asked for.

    Raises:
        ValidationFailed: It names what is wrong.
    """
    return checked(model, {name: value for name, value in request.args.items() if value.strip()})


def checked(model: type[Asked], said: Mapping[str, object]) -> Asked:
    """
    What somebody has said, as the API reads it.

    Raises:
        ValidationFailed: It names what is wrong.
    """
    try:
        return model.model_validate(said)
    except ValidationError as invalid:
        raise validation_failed(invalid, said) from None


def key_of(sent: Form) -> UUID:
    """
    The key that a page gave its form (`key_of_form`).

    Raises:
        MalformedRequest: It has none.
    """
    try:
        return canonical_uuid(sent.get("key"))
    except ValueError:
        raise MalformedRequest("Send the form as its page does.") from None

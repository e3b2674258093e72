"""What stands in paths and headers, read strictly."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from orchestrator.api.access import caller
from orchestrator.api.call import call
from orchestrator.api.wire.members import canonical_uuid
from orchestrator.errors import IdempotencyKeyInvalid, NotFound, RunNotFound
from orchestrator.lifecycle import NAME_PATTERN
from orchestrator.logs import tell_log

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
KEY_PATTERN: Final = r"^[\x20-\x7e]{1,255}$"

_KEY: Final = re.compile(KEY_PATTERN)
_STEP_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_NAME: Final = re.compile(NAME_PATTERN)


def run_id_of(text: str) -> UUID:
    """
    A run's id from a path.

    Raises:
        RunNotFound: It is not a UUID in canonical form: no run has such an id.
    """
    try:
        run_id = canonical_uuid(text)
    except ValueError:
        raise RunNotFound from None
    tell_log(run_id=text)
    return run_id


def step_index_of(text: str) -> int:
    """
    A step's index from a path.

    Raises:
        NotFound: No step can have that index.
    """
    if not _STEP_INDEX.fullmatch(text):
        raise NotFound("No step can have that index.")
    return int(text)


def name_of(text: str) -> str:
    """
    A name of a queue or an instance from a path.

    Raises:
        NotFound: Nothing can have that name.
    """
    if not _NAME.fullmatch(text):
        raise NotFound("Nothing can have that name.")
    return text


def idempotency_key() -> str | None:
    """
    The request's Idempotency-Key, if it has one.

    Raises:
        IdempotencyKeyInvalid: Empty, longer than 255, or not printable ASCII.
    """
    key = call().header(IDEMPOTENCY_KEY)
    if key is not None and not _KEY.fullmatch(key):
        raise IdempotencyKeyInvalid("Use 1 to 255 printable ASCII characters.")
    return key


def request_id() -> str:
    """The present request's id."""
    return call().request_id


def full_name(instance: str | None) -> str:
    """An executor's full name: of the caller's token, so that none can speak for another's."""
    name = f"{caller().name}:{instance}" if instance else caller().name
    tell_log(executor=name)
    return name

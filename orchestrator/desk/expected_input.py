"""What a waiting run waits for, as a JSON schema, and whether an input is that.

A schema comes from a handler and is used in this process: it fetches nothing,
its patterns run in linear time, and what it may refer to is bounded, so that no
schema holds up anyone else's requests.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import jsonschema_rs
import orjson

from orchestrator.errors import ValidationFailed
from orchestrator.lifecycle import WaitingReason
from orchestrator.store.records import Run, text_of

MOST_ERRORS = 20
MAX_SCHEMA_BYTES = 16 * 1024
# References can double the work with each step: 32 of them make 2^16 visits at most.
MAX_REFERENCES = 32
MAX_MESSAGE_CHARACTERS = 500


def bad_schema(schema: Any) -> str | None:
    """Why this cannot be used as a JSON schema, or None when it can."""
    # The library takes a string for a schema's text.
    if not isinstance(schema, dict | bool):
        return "it is neither an object nor true or false"
    size = len(json.dumps(schema).encode())
    if size > MAX_SCHEMA_BYTES:
        return f"it is larger than {MAX_SCHEMA_BYTES} bytes"
    if _references(schema) > MAX_REFERENCES:
        return f"it has more than {MAX_REFERENCES} references"
    try:
        _validator(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as wrong:
        return str(wrong).splitlines()[0][:MAX_MESSAGE_CHARACTERS]
    return None


def require_expected(run: Run, value: Any) -> None:
    """
    Refuse an input that a waiting run does not wait for.

    Raises:
        ValidationFailed: It does not fit the run's `waitingFor` schema.
    """
    if run.waiting_for is None or run.waiting_reason != WaitingReason.INPUT:
        return
    schema = orjson.loads(text_of(run.waiting_for)).get("schema")
    if schema is None:
        return
    if unusable := bad_schema(schema):
        # Stored before this version refused it: no input can be told from another.
        raise ValidationFailed(
            [{"path": "/input", "message": f"cannot be checked against the schema: {unusable}"}]
        )
    errors = [
        {
            "path": "/input" + "".join(f"/{part}" for part in error.instance_path),
            "message": error.message[:MAX_MESSAGE_CHARACTERS],
        }
        for error, _ in zip(_validator(schema).iter_errors(value), range(MOST_ERRORS), strict=False)
    ]
    if errors:
        raise ValidationFailed(errors)


def _validator(schema: Any) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(
        schema, retriever=_fetch_nothing, pattern_options=jsonschema_rs.RegexOptions()
    )


def _fetch_nothing(uri: str) -> NoReturn:
    raise ValueError(f"it refers to {uri}, which is not in it")


def _references(part: Any) -> int:
    """How many members could be references; a few that are not are counted too."""
    if isinstance(part, dict):
        own = sum(name in ("$ref", "$dynamicRef") for name in part)
        return own + sum(map(_references, part.values()))
    return sum(map(_references, part)) if isinstance(part, list) else 0

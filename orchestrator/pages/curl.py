"""A run as a command: what would make the same again, and what reads it.

An input may hold anything. It is quoted for a POSIX shell, and what could not be seen
in it is written as JSON escapes, so that what is copied is what was read.
"""

from __future__ import annotations

from shlex import quote
from typing import Any, Final

import orjson

from orchestrator.api.wire.runs import RunCreation
from orchestrator.store.records import Run

# A longer body is no text to copy; then the command fetches it.
MOST_CHARACTERS: Final = 16_384

_CURL: Final = 'curl -sS -H "Authorization: Bearer $DIBS_TOKEN"'
_AS_JSON: Final = "-H 'Content-Type: application/json'"


def reading(run: Run) -> str:
    """The command that reads this run."""
    return f'{_CURL} \\\n  "$DIBS_URL/v1/runs/{run.id}"'


def creating(run: Run) -> str:
    """The command that creates a run of the same kind, with the same input, to begin at once."""
    body = _body(run)
    if len(body) <= MOST_CHARACTERS:
        return f'{_CURL} {_AS_JSON} \\\n  "$DIBS_URL/v1/runs" \\\n  --data-raw {quote(body)}'
    # Names of our own alone: nothing that came from a run stands in it.
    members = ", ".join(_members(run))
    return (
        f"{reading(run)} \\\n  | jq -c '{{{members}}}' \\\n"
        f'  | {_CURL} {_AS_JSON} \\\n  "$DIBS_URL/v1/runs" --data-binary @-'
    )


def _body(run: Run) -> str:
    text = orjson.dumps(_members(run)).decode()
    # Beyond ASCII there are only strings in JSON, so an escape means the same character.
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def _members(run: Run) -> dict[str, Any]:
    """What the create said, without what says itself."""
    said = {
        "queue": run.queue,
        "priority": run.priority,
        "dedup_key": run.dedup_key,
        "concurrency_key": run.concurrency_key,
        "max_failures": run.max_failures,
        "max_crashes": run.max_crashes,
    }
    fields = RunCreation.model_fields
    kept = {
        fields[name].alias or name: value
        for name, value in said.items()
        if value != fields[name].default
    }
    return {"workflow": run.workflow, "input": run.input, **kept}


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))

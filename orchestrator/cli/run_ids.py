"""Ids of runs, out of whatever another command has printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

_DECODER = json.JSONDecoder()
_BEGIN_JSON = ("{", "[", '"')


class NoRunIds(Exception):
    """A text that names no runs; the message says why."""


@dataclass(frozen=True)
class GivenIds:
    """
    Ids in the order given, each once.

    Attributes:
        go_on: Whether what was read is one page of a list that goes on.
    """

    ids: tuple[str, ...]
    go_on: bool


def read_ids(text: str) -> GivenIds:
    """
    The runs that a text names.

    It may be JSON as `dibs runs list`, `show` and `create` print it, one document or many
    below each other, and ids with blanks or line ends between. What looks like an id is
    left to the orchestrator to know.

    Raises:
        NoRunIds: It holds something else.
    """
    values = list(_values(text))
    ids = [run_id for value in values for run_id in _ids_of(value)]
    pages = [value for value in values if isinstance(value, dict)]
    return GivenIds(tuple(dict.fromkeys(ids)), go_on=bool(pages and pages[-1].get("nextCursor")))


def is_run_id(text: str) -> bool:
    """Whether a text has the form of a run's id."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _values(text: str) -> Iterator[Any]:
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            return
        if text[at] in _BEGIN_JSON:
            try:
                value, at = _DECODER.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                raise NoRunIds(f"is not JSON: {error}") from error
            yield value
        else:
            word = text[at:].split(None, 1)[0]
            at += len(word)
            yield word


def _ids_of(value: Any) -> list[str]:
    match value:
        case [*items] | {"items": [*items]} | {"runs": [*items]}:
            return [_id_of(item) for item in items]
    return [_id_of(value)]


def _id_of(value: Any) -> str:
    match value:
        case str(run_id) | {"id": str(run_id)} | {"run": {"id": str(run_id)}}:
            return run_id
    raise NoRunIds("names no run: an id, or an object that has one, was expected")

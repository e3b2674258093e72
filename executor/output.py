"""Check what a handler gave out before it joins a batch with its neighbours.

What the orchestrator would refuse has to be found here: there it would be the
whole batch that is answered 4xx, here it is one step's error.
"""

import math
from dataclasses import asdict, is_dataclass
from typing import Any

import msgspec
import orjson
from pydantic import BaseModel

LARGEST_OUTPUT_BYTES = 256 * 1024
DEEPEST_OUTPUT = 28
"""A body may be 32 deep, and an output begins four levels down in a report's."""

_MOST_NODES = LARGEST_OUTPUT_BYTES


class UnfitOutputError(Exception):
    """The output cannot be sent; the message says what about it is wrong."""


def as_json(value: Any, *, largest_bytes: int = LARGEST_OUTPUT_BYTES) -> bytes:
    """
    A value as JSON that the orchestrator will take.

    Pydantic models and dataclasses are taken apart, dates and UUIDs become text.

    Raises:
        UnfitOutputError: Not JSON, too large, too deep, a number without a
            value, or a character that JSON in Postgres cannot hold.
    """
    try:
        text = orjson.dumps(_Walk().plain(value, DEEPEST_OUTPUT))
    except (TypeError, ValueError, RecursionError) as error:
        raise UnfitOutputError(f"the output is not JSON: {error}") from None
    if len(text) > largest_bytes:
        raise UnfitOutputError(f"the output has {len(text)} bytes, {largest_bytes} are allowed")
    return text


class _Walk:
    """One pass over a value; it ends early on what could never fit."""

    def __init__(self) -> None:
        self._nodes_left = _MOST_NODES

    def plain(self, value: Any, depth_left: int) -> Any:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise UnfitOutputError(f"the output holds {value}, which JSON does not know")
            return value
        return self._container(value, depth_left)

    def _container(self, value: Any, depth_left: int) -> Any:
        if depth_left == 0:
            raise UnfitOutputError(f"the output is nested deeper than {DEEPEST_OUTPUT} levels")
        if isinstance(value, BaseModel):
            value = value.model_dump(mode="json", by_alias=True)
        elif isinstance(value, msgspec.Struct):
            value = msgspec.to_builtins(value)
        elif is_dataclass(value) and not isinstance(value, type):
            value = asdict(value)
        if isinstance(value, dict):
            self._count(len(value))
            return {_key(k): self.plain(v, depth_left - 1) for k, v in value.items()}
        if isinstance(value, list | tuple):
            self._count(len(value))
            return [self.plain(item, depth_left - 1) for item in value]
        return value  # orjson knows dates, UUIDs and enums, and refuses the rest.

    def _count(self, nodes: int) -> None:
        # A list that holds itself twice doubles at each level: 28 levels are too many.
        self._nodes_left -= nodes
        if self._nodes_left < 0:
            raise UnfitOutputError(f"the output has more than {_MOST_NODES} values")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise UnfitOutputError(f"the output has a key that is not text: {type(key).__name__}")
    return _text(key)


def _text(text: str) -> str:
    if "\x00" in text:
        raise UnfitOutputError("the output holds a NUL character")
    return text

"""An answer: a body of plain values, written as JSON in one pass.

Views hand over dicts of the wire's names. Stored payloads are in them as the
text that Postgres gave (`orjson.Fragment`) and are never parsed on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Response

_NO_HEADERS: Mapping[str, str] = {}


def answer(body: Any, status: int = 200, headers: Mapping[str, str] = _NO_HEADERS) -> Response:
    """The body as `application/json`. Instants and UUIDs may stand in it as they are."""
    return Response(to_json(body), status, headers, mimetype="application/json")


def to_json(value: Any) -> bytes:
    """A value as JSON; instants as `rfc3339` has them."""
    return orjson.dumps(value, default=_instant, option=orjson.OPT_PASSTHROUGH_DATETIME)


def rfc3339(at: datetime) -> str:
    """An instant as the wire has it: UTC, milliseconds, `Z`. What is finer is cut off."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant(value: Any) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    raise TypeError(f"{type(value).__name__} has no JSON")

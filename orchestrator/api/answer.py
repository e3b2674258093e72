"""An answer: a body of plain values, written as JSON in one pass.

Views hand over dicts of the wire's names. Stored payloads are in them as the
text that Postgres gave (`orjson.Fragment`) and are never parsed on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from flask import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_NO_HEADERS: Mapping[str, str] = {}


class WholeAnswer(Response):
    """
    An answer whose body is there as a whole.

    It needs nothing of what werkzeug does for streams and redirects, and it is handed to
    the server as a list: everything else granian sends piece by piece, through a queue.
    """

    response: list[bytes]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response(self.status, self.headers.to_wsgi_list())
        return [] if environ["REQUEST_METHOD"] == "HEAD" else self.response


def answer(body: Any, status: int = 200, headers: Mapping[str, str] = _NO_HEADERS) -> Response:
    """The body as `application/json`. Instants and UUIDs may stand in it as they are."""
    return WholeAnswer(to_json(body), status, headers, content_type="application/json")


def to_json(value: Any) -> bytes:
    """A value as JSON; instants as `rfc3339` has them."""
    return orjson.dumps(value, default=_instant, option=orjson.OPT_PASSTHROUGH_DATETIME)


def rfc3339(at: datetime) -> str:
    """An instant as the wire has it: UTC, milliseconds, `Z`. What is finer is cut off."""
    # Twice as fast as `isoformat`: `"2026-11-22T13:26:58.123456Z"`, with or without the dot.
    text = orjson.dumps(at, option=orjson.OPT_UTC_Z).decode()
    if text[-2] != "Z":
        text = orjson.dumps(at.astimezone(UTC), option=orjson.OPT_UTC_Z).decode()
    return f"{text[1:24]}Z" if at.microsecond else f"{text[1:20]}.000Z"


def uuid_text(value: UUID) -> str:
    """An id as the wire has it, in a third of the time that `str` takes."""
    return orjson.dumps(value)[1:-1].decode()


def _instant(value: Any) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    raise TypeError(f"{type(value).__name__} has no JSON")

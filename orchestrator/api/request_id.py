"""Every request has an id: in the answer's X-Request-Id, in problems, in the log."""

from __future__ import annotations

import re
from typing import Final

import structlog
from flask import Flask, Response, g, request
from uuid_utils import uuid7

HEADER: Final = "X-Request-Id"

# Anything else that a client sends is not reflected, and not kept.
_SANE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def register_request_ids(app: Flask) -> None:
    """Take the client's id when it is sane, else make one; give it back with the answer."""

    @app.before_request
    def begin() -> None:
        asked = request.headers.get(HEADER, "")
        g.request_id = asked if _SANE.fullmatch(asked) else str(uuid7())
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    @app.after_request
    def end(answered: Response) -> Response:
        answered.headers[HEADER] = g.request_id
        return answered

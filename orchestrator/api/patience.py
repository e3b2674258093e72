"""One patience for all that a request asks of the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

from orchestrator.store.patience import new_patience

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def register_patience(app: Flask) -> None:
    """Let every request end its waits for the database together: its token, its act, its answer."""
    inner = app.wsgi_app

    def bounded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with new_patience():
            return inner(environ, start_response)

    app.wsgi_app = bounded  # type: ignore[method-assign]

"""Who asks at the adapter: told by his secret, or by the server token of a dispatch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flask import Request, g

from orchestrator.api.access import caller
from orchestrator.api.authentication import authenticate, counted_when_bad
from orchestrator.api.client_address import client_address
from orchestrator.api.compat.server_token import ServerToken, read_server_token
from orchestrator.api.context import services
from orchestrator.api.parameters import request_id
from orchestrator.api.refusals import MethodNotAllowed
from orchestrator.api.tokens import Caller, Form
from orchestrator.desk.compat_executors import Asker
from orchestrator.errors import Unauthenticated

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_BEARER: Final = re.compile(r"Bearer +(\S{1,300})", re.IGNORECASE | re.ASCII)


def by_secret(environ: WSGIEnvironment) -> Caller:
    """
    Whose executor asks, told by `forest-secret-key` and by nothing else.

    Raises:
        MethodNotAllowed: It is a HEAD: what a GET does here is no reading.
        Unauthenticated, RateLimited, Overloaded: As `authenticate`.
    """
    if environ["REQUEST_METHOD"] == "HEAD":
        raise MethodNotAllowed("Use GET here.", allow=["GET"])
    return authenticate(environ, environ.get("HTTP_FOREST_SECRET_KEY"), Form.COMPAT)


def by_server_token(environ: WSGIEnvironment) -> Caller:
    """
    Whose executor asks, told by the server token of what it was handed.

    Raises:
        Unauthenticated: It was not signed here, or the executor's token has been revoked.
        RateLimited: Too many bad ones came from its address.
    """
    found = _BEARER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    key = services().settings.secret_key.get_secret_value()
    token = read_server_token(key, found[1]) if found else None
    who = services().tokens.holder(token.key_id) if token else None
    if token is None or who is None:
        with counted_when_bad(environ):
            raise Unauthenticated("Send the server token of a dispatch: Authorization: Bearer.")
    g.server_token = token
    return who


def server_token() -> ServerToken:
    """The server token of the present request."""
    token: ServerToken = g.server_token
    return token


def asker(request: Request) -> Asker:
    """The executor that sends the present request."""
    who = caller()
    return Asker(
        name=who.name,
        key_id=who.key_id,
        queues=who.queues,
        address=client_address(request.environ, services().settings.trusted_proxies),
        request_id=request_id(),
    )

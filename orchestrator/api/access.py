"""Who may use a route: declared on its view, enforced before it, in one place.

A route without a declaration stops the service from starting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import structlog
from flask import Flask, g, request

from orchestrator.api.context import services
from orchestrator.api.refusals import MalformedRequest
from orchestrator.api.tokens import Caller
from orchestrator.errors import InsufficientScope, NotFound, Unauthenticated
from orchestrator.lifecycle import Role

View = TypeVar("View", bound=Callable[..., Any])

ON_BEHALF_OF: Final = "Dibs-On-Behalf-Of"

EVERYONE: Final = frozenset(Role)
READERS: Final = EVERYONE
CLIENTS: Final = frozenset({Role.CLIENT, Role.OPERATOR})
OPERATORS: Final = frozenset({Role.OPERATOR})
WATCHERS: Final = frozenset({Role.VIEWER, Role.OPERATOR})
EXECUTORS: Final = frozenset({Role.EXECUTOR})
NO_TOKEN: Final[frozenset[Role]] = frozenset()

_ROLES = "_roles_that_may"


def allow(roles: frozenset[Role]) -> Callable[[View], View]:
    """Declare who may use a view. `NO_TOKEN` opens it to whoever comes."""

    def declare(view: View) -> View:
        setattr(view, _ROLES, roles)
        return view

    return declare


def roles_of(view: Callable[..., Any]) -> frozenset[Role] | None:
    """Who may use a view, or None when nobody said."""
    roles: frozenset[Role] | None = getattr(view, _ROLES, None)
    return roles


def caller() -> Caller:
    """Who the present request is from."""
    who: Caller = g.caller
    return who


def on_behalf_of() -> Caller | None:
    """
    Whom the calling executor asks for, when it says so.

    Raises:
        Unauthenticated: That token is not good. The executor's own is.
    """
    credential = request.headers.get(ON_BEHALF_OF)
    if credential is None:
        return None
    if caller().role is not Role.EXECUTOR:
        raise InsufficientScope(f"Only executors may send {ON_BEHALF_OF}.")
    try:
        return services().tokens.caller(credential)
    except Unauthenticated:
        raise Unauthenticated(
            f"The token in {ON_BEHALF_OF} is not valid.", credential="on-behalf-of"
        ) from None


def require_role(who: Caller, roles: frozenset[Role]) -> None:
    """
    Refuse a caller whose role is not among these.

    Raises:
        InsufficientScope: It is not.
    """
    if who.role not in roles:
        raise InsufficientScope(f"A token with the role {who.role} may not do this.")


def register_access(app: Flask) -> None:
    """Identify and authorise every request before its view, and before its body is read."""

    @app.before_request
    def admit() -> None:
        _require_http_1_1()
        _require_one_leading_slash()
        view = app.view_functions.get(request.endpoint or "")
        roles = None if view is None else roles_of(view)
        if not roles:
            return
        g.caller = services().tokens.caller(request.headers.get("Authorization"))
        structlog.contextvars.bind_contextvars(actor=g.caller.name, key_id=g.caller.key_id)
        require_role(g.caller, roles)


def require_declarations(app: Flask) -> None:
    """
    Refuse to start with a route that nobody declared roles for.

    Raises:
        RuntimeError: It names the routes.
    """
    bare = sorted(
        rule.rule
        for rule in app.url_map.iter_rules()
        if roles_of(app.view_functions[rule.endpoint]) is None
    )
    if bare:
        raise RuntimeError(f"Routes without declared roles: {', '.join(bare)}")


def _require_http_1_1() -> None:
    if request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0" or not request.headers.get("Host"):
        raise MalformedRequest("Send HTTP/1.1 with a Host.")


def _require_one_leading_slash() -> None:
    # The router strips them: one resource would have many paths.
    if request.environ["PATH_INFO"].startswith("//"):
        raise NotFound("There is nothing at this path.")

"""Who may use a route: declared on its view, enforced before it, in one place.

A route without a declaration stops the service from starting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from flask import Flask

from orchestrator.api.authentication import authenticate, spend
from orchestrator.api.call import Call, call
from orchestrator.api.context import services
from orchestrator.api.proper_http import require_proper_http
from orchestrator.api.tokens import Caller
from orchestrator.errors import (
    DibsError,
    InsufficientScope,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from orchestrator.lifecycle import Role
from orchestrator.logs import tell_log

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

View = TypeVar("View", bound=Callable[..., Any])
TellCaller = Callable[["WSGIEnvironment"], Caller]

ON_BEHALF_OF: Final = "Dibs-On-Behalf-Of"

EVERYONE: Final = frozenset(Role)
READERS: Final = EVERYONE
CLIENTS: Final = frozenset({Role.CLIENT, Role.OPERATOR})
OPERATORS: Final = frozenset({Role.OPERATOR})
WATCHERS: Final = frozenset({Role.VIEWER, Role.OPERATOR})
EXECUTORS: Final = frozenset({Role.EXECUTOR})
NO_TOKEN: Final[frozenset[Role]] = frozenset()

_ROLES = "_roles_that_may"
_BUDGETED = "_budgeted"
_TOLD_BY = "_tells_its_callers"


def by_bearer(environ: WSGIEnvironment) -> Caller:
    """
    Who sent a request, told by its `Authorization` and by nothing else.

    Raises:
        Unauthenticated, RateLimited: As `authenticate`.
    """
    return authenticate(environ, environ.get("HTTP_AUTHORIZATION"))


def by_last_known_bearer(environ: WSGIEnvironment) -> Caller:
    """
    As `by_bearer`; while the database is away also whose token was good when it last said.

    For what shows how the service is and nothing that it holds: it is wanted most just then.

    Raises:
        Unauthenticated, RateLimited, Unavailable: As `authenticate`.
    """
    try:
        return by_bearer(environ)
    except Unavailable:
        who = services().tokens.last_known_caller(environ.get("HTTP_AUTHORIZATION"))
        if who is None:
            raise
        return who


def allow(
    roles: frozenset[Role], *, budgeted: bool = True, told_by: TellCaller = by_bearer
) -> Callable[[View], View]:
    """
    Declare who may use a view. `NO_TOKEN` opens it to whoever comes.

    Args:
        budgeted: Whether its requests count in the token's budget. What keeps leases alive
            and ends them does not: it is always served.
        told_by: How the view's callers are told.
    """

    def declare(view: View) -> View:
        setattr(view, _ROLES, roles)
        setattr(view, _BUDGETED, budgeted)
        setattr(view, _TOLD_BY, told_by)
        return view

    return declare


def roles_of(view: Callable[..., Any]) -> frozenset[Role] | None:
    """Who may use a view, or None when nobody said."""
    roles: frozenset[Role] | None = getattr(view, _ROLES, None)
    return roles


def is_budgeted(view: Callable[..., Any]) -> bool:
    """Whether a view's requests count in the token's budget."""
    budgeted: bool = getattr(view, _BUDGETED, True)
    return budgeted


def caller() -> Caller:
    """Who the present request is from."""
    who = call().caller
    if who is None:
        raise AssertionError("The route of this request is open to whoever comes.")
    return who


def caller_still() -> Caller:
    """
    As `caller`, looked up again: for requests that last.

    Raises:
        Unauthenticated: The token was revoked or has expired meanwhile.
    """
    return services().tokens.caller(call().header("Authorization"))


def on_behalf_of() -> Caller | None:
    """
    Whom the calling executor asks for, when it says so.

    A bad one costs the executor nothing, neither its own budget nor its address's: it is
    whoever triggers that sent it.

    Raises:
        Unauthenticated: That token is not good. The executor's own is.
    """
    credential = call().header(ON_BEHALF_OF)
    if credential is None:
        return None
    if caller().role is not Role.EXECUTOR:
        raise InsufficientScope(f"Only executors may send {ON_BEHALF_OF}.")
    try:
        return services().tokens.caller(credential)
    except Unauthenticated:
        services().token_budgets.give_back(caller().key_id)
        raise Unauthenticated(
            f"The token in {ON_BEHALF_OF} is not valid.", credential="on-behalf-of"
        ) from None


def is_watcher() -> bool:
    """Whether a viewer or an operator asks, on a route that is open to all; never refuses."""
    try:
        who = services().tokens.known_caller(call().header("Authorization"))
    except DibsError:
        return False
    return who is not None and who.role in WATCHERS


def require_role(who: Caller, roles: frozenset[Role]) -> None:
    """
    Refuse a caller whose role is not among these.

    Raises:
        InsufficientScope: It is not.
    """
    if who.role not in roles:
        raise InsufficientScope(f"A token with the role {who.role} may not do this.")


def admit(present: Call, view: View | None) -> None:
    """
    Identify and authorise a request before its view, and before its body is read.

    Args:
        view: None when there is none for it.

    Raises:
        MalformedRequest, NotFound: It is not one that any view would get.
        Unauthenticated, InsufficientScope: Its view is not for whoever sent it.
        RateLimited: Its token, or whoever sends bad ones, asks too often.
    """
    require_proper_http(present.environ)
    _require_one_leading_slash(present.environ)
    roles = None if view is None else roles_of(view)
    if view is None or not roles:
        return
    told_by: TellCaller = getattr(view, _TOLD_BY)
    present.caller = who = told_by(present.environ)
    tell_log(actor=who.name, key_id=who.key_id)
    if is_budgeted(view):
        spend(who)
    require_role(who, roles)


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


def _require_one_leading_slash(environ: WSGIEnvironment) -> None:
    # The router strips them: one resource would have many paths.
    if environ["PATH_INFO"].startswith("//"):
        raise NotFound("There is nothing at this path.")

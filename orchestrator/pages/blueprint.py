"""What every page is declared with: who may see it, or who may send it a form.

The declaration is what puts a page under the policy and behind the checks of its
forms, so there is none to be forgotten: a route below `/ui` without one stops the
service from starting.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from flask import Blueprint, Flask, Response, request

from orchestrator.api.access import NO_TOKEN, allow
from orchestrator.api.page_policy import KEPT_FOR_GOOD, PAGES, under_policy
from orchestrator.lifecycle import Role
from orchestrator.pages.form import read_form, read_strangers_form, require_form_token
from orchestrator.pages.origin import require_same_origin
from orchestrator.pages.session import current_session, signed_in

ROOT: Final = "/ui"

View = Callable[..., Response]

_METHODS = "_methods_of_a_page"
_READING: Final = frozenset({"GET", "HEAD"})
_SENDING: Final = frozenset({"POST"})

pages = Blueprint("pages", __name__, url_prefix=ROOT)


def page(roles: frozenset[Role]) -> Callable[[View], View]:
    """Declare who may see a page; `NO_TOKEN` shows it to whoever comes."""

    def declare(view: View) -> View:
        @wraps(view)
        def show(**parts: Any) -> Response:
            return under_policy(view(**parts), PAGES)

        return _declared(show, roles, _READING)

    return declare


def form(roles: frozenset[Role]) -> Callable[[View], View]:
    """
    Declare who may send a form; the view gets its fields first.

    It must come from a page of this service, and bring the token that a page of the same
    session was given. With `NO_TOKEN` there is no session: where it comes from decides.
    """

    def declare(view: View) -> View:
        @wraps(view)
        def do(**parts: Any) -> Response:
            require_same_origin(request)
            if roles:
                sent = read_form(request.environ)
                require_form_token(sent, current_session())
            else:
                sent = read_strangers_form(request.environ)
            return under_policy(view(sent, **parts), PAGES)

        return _declared(do, roles, _SENDING)

    return declare


def asset(view: View) -> View:
    """Declare a file that pages are made of: anybody may have it, and keep it for good."""

    @wraps(view)
    def give(**parts: Any) -> Response:
        return under_policy(view(**parts), PAGES, kept=KEPT_FOR_GOOD)

    return _declared(give, NO_TOKEN, _READING)


def require_page_declarations(app: Flask) -> None:
    """
    Refuse to start with a route below `/ui` that is not declared as a page, form or asset.

    Raises:
        RuntimeError: It names the routes.
    """
    bare = sorted(
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.rule == ROOT or rule.rule.startswith(f"{ROOT}/")
        if (rule.methods or set()) != getattr(app.view_functions[rule.endpoint], _METHODS, None)
    )
    if bare:
        raise RuntimeError(f"Routes of pages without a declaration: {', '.join(bare)}")


def _declared(view: View, roles: frozenset[Role], methods: frozenset[str]) -> View:
    setattr(view, _METHODS, methods)
    return allow(roles, told_by=signed_in)(view)

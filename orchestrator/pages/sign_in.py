"""Signing in with a token, and out again."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

import structlog
from flask import Response, request

from orchestrator.api.access import NO_TOKEN, WATCHERS, caller
from orchestrator.api.authentication import authenticate
from orchestrator.api.context import services
from orchestrator.api.tokens import Caller
from orchestrator.errors import InsufficientScope, Unauthenticated
from orchestrator.pages.asked import asked_address
from orchestrator.pages.blueprint import ROOT, form, page, pages
from orchestrator.pages.form import Form
from orchestrator.pages.origin import is_in_clear_text, needs_secure_cookie
from orchestrator.pages.refusals import FormRefused
from orchestrator.pages.session import begin_session, end_session
from orchestrator.pages.template import address_of, go_to, screen

log = structlog.get_logger(__name__)

# Begins with our own path, so that it leads nowhere else whatever comes after.
_OUR_ADDRESS: Final = re.compile(rf"{ROOT}(?:[/?][!-\[\]-~]*)?")


def sign_in_screen(status: int = 200, *, reason: str | None = None) -> Response:
    """The page to sign in at; it leads on to what was asked for."""
    return screen("sign_in.html", status, wanted=_wanted(), reason=reason)


@pages.get("/sign-in")
@page(NO_TOKEN)
def show_sign_in() -> Response:
    """Where to sign in."""
    return sign_in_screen()


@pages.post("/sign-in")
@form(NO_TOKEN)
def sign_in(sent: Form) -> Response:
    """
    Begin a session.

    Only people's tokens: a client's or an executor's is a program's, and belongs where
    the program is.
    """
    if is_in_clear_text(request):
        raise FormRefused("This address has no TLS. Open it with https, or on the machine itself.")
    who = _holder_of(sent.get("token", "").strip())
    if who.role not in WATCHERS:
        raise InsufficientScope(
            f"A token with the role {who.role} is a program's. Sign in with a viewer's or an"
            " operator's."
        )
    log.info("signed_in", actor=who.name, key_id=who.key_id)
    answered = go_to(services().settings.path_prefix + _wanted())
    begin_session(answered, who, path=_cookie_path(), secure=needs_secure_cookie(request))
    return answered


@pages.post("/sign-out")
@form(WATCHERS)
def sign_out(sent: Form) -> Response:  # noqa: ARG001
    """End the session in this browser."""
    log.info("signed_out", actor=caller().name, key_id=caller().key_id)
    answered = go_to(address_of("show_sign_in"))
    end_session(answered, path=_cookie_path())
    return answered


def _holder_of(token: str) -> Caller:
    """
    Who presents this token; looked up as the API does, and counted where it is bad.

    Raises:
        Unauthenticated: It is not good. One sentence for every reason.
        RateLimited: Nor is it, and too many bad ones came from this address.
    """
    try:
        return authenticate(request.environ, f"Bearer {token}")
    except Unauthenticated:
        raise Unauthenticated("This token is not valid.") from None


def _cookie_path() -> str:
    return services().settings.path_prefix + ROOT


def _wanted() -> str:
    """The page to go to after signing in, below the prefix."""
    if request.endpoint in (f"{pages.name}.show_sign_in", f"{pages.name}.sign_in"):
        asked = request.args.get("next", "")
    elif request.method == "GET":
        asked = asked_address()
    else:
        asked = ROOT
    path = unquote(asked.partition("?")[0])
    # A browser takes `..` away together with what stands before it: the prefix, too.
    return asked if _OUR_ADDRESS.fullmatch(asked) and ".." not in path else ROOT

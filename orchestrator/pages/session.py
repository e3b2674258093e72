"""A session: somebody who signed in with a token, known again by a signed cookie.

The cookie names the token's key id, never its secret, and is good for pages only:
the API reads `Authorization` and nothing else. No table holds sessions. Each request
looks the key id up as a bearer's is, so that a session ends within a second of its
token, and in any case twelve hours after it began, by this machine's clock.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flask import Response, g
from werkzeug.sansio.http import parse_cookie

from orchestrator.api.context import services
from orchestrator.api.tokens import Caller
from orchestrator.errors import Unauthenticated
from orchestrator.pages.seal import Seal

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

COOKIE: Final = "dibs_session"
SESSION_SECONDS: Final = 12 * 60 * 60


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in; `id` is random, and what its forms are bound to."""

    id: str
    key_id: str


def signed_in(environ: WSGIEnvironment) -> Caller:
    """
    Who sent a request, told by the session's cookie and by nothing else.

    Raises:
        Unauthenticated: There is no session, or it is over.
    """
    session = session_of(parse_cookie(environ.get("HTTP_COOKIE")).get(COOKIE, ""))
    who = services().tokens.holder(session.key_id) if session else None
    if session is None or who is None:
        raise Unauthenticated("Your session is over. Sign in again.")
    g.session = session
    return who


def current_session() -> Session:
    """The session of the present request, whose page has declared who may see it."""
    session: Session = g.session
    return session


def begin_session(answered: Response, who: Caller, *, path: str, secure: bool) -> None:
    """
    Give a browser the cookie of a new session.

    `Lax`, because a link to a run that stands in a chat or a ticket must open it: a
    navigation from elsewhere brings the cookie along, and no page changes anything when
    it is read. What changes something is a form, which the cookie alone does not send.
    """
    session = Session(secrets.token_urlsafe(16), who.key_id)
    answered.set_cookie(
        COOKIE,
        _seal().put(f"{session.id}.{session.key_id}", seconds=SESSION_SECONDS),
        max_age=SESSION_SECONDS,
        path=path,
        secure=secure,
        httponly=True,
        samesite="Lax",
    )


def end_session(answered: Response, *, path: str) -> None:
    """Take the cookie away."""
    answered.delete_cookie(COOKIE, path=path, httponly=True, samesite="Lax")


def session_of(cookie: str) -> Session | None:
    """The session that a cookie stands for; None when we did not make it, or it is over."""
    text = _seal().read(cookie)
    if text is None:
        return None
    session_id, _, key_id = text.partition(".")
    return Session(session_id, key_id)


def _seal() -> Seal:
    return Seal(services().settings.secret_key.get_secret_value(), "dibs session")

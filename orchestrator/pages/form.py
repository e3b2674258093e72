"""Forms: read strictly, and only what a page of the same session was given to send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from orchestrator.api.body import read_bytes
from orchestrator.api.context import services
from orchestrator.api.refusals import MalformedRequest, UnsupportedCharacter
from orchestrator.api.slow_bodies import TimedBody
from orchestrator.pages.refusals import FormRefused
from orchestrator.pages.seal import Seal
from orchestrator.pages.session import Session
from orchestrator.pages.strangers import Strangers

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Form = dict[str, str]

FORM_LIMIT_BYTES: Final = 16 * 1024
MOST_FIELDS: Final = 32
# A page may stay open for as long, and what is sent from it then is still meant.
FORM_SECONDS: Final = 4 * 60 * 60
# A page that is asked for again is the same as long as nothing has changed.
FORM_STEADY_SECONDS: Final = 10 * 60
TOKEN_FIELD: Final = "form-token"  # noqa: S105 - a field's name

strangers = Strangers()

_MEDIA_TYPE: Final = "application/x-www-form-urlencoded"


def read_form(environ: WSGIEnvironment) -> Form:
    """
    A form's fields.

    Raises:
        PayloadTooLarge.
        MalformedRequest: It is no form, or a field is there more than once.
        UnsupportedCharacter: A value holds NUL.
    """
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != _MEDIA_TYPE:
        raise _malformed()
    body = read_bytes(environ, limit_bytes=FORM_LIMIT_BYTES)
    if not body:
        # Not left to the parser: whether that is a mistake differs from Python to Python.
        return {}
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise _malformed() from None
    form = dict(fields)
    if len(form) != len(fields):
        raise _malformed()
    if any("\0" in value for value in form.values()):
        raise UnsupportedCharacter("A field holds a character that cannot be kept.")
    return form


def read_strangers_form(environ: WSGIEnvironment) -> Form:
    """
    The fields of a form that somebody sends who has no session.

    Raises:
        As `read_form`.
    """
    source = environ["wsgi.input"]
    if not isinstance(source, TimedBody):
        return read_form(environ)
    with strangers.place(source):
        return read_form(environ)


def form_token(session: Session) -> str:
    """What a form of this session must bring along."""
    return _seal(session).put("form", seconds=FORM_SECONDS, steady_seconds=FORM_STEADY_SECONDS)


def require_form_token(form: Form, session: Session) -> None:
    """
    Refuse a form that no page made for this session.

    Raises:
        FormRefused: It has no token, another session's, or one that is too old.
    """
    if _seal(session).read(form.get(TOKEN_FIELD, "")) is None:
        raise FormRefused(
            "It is too old, or was made before you signed in. Open its page again and send it"
            " from there."
        )


def _seal(session: Session) -> Seal:
    key = services().settings.secret_key.get_secret_value()
    return Seal(key, f"form of the session {session.id}")


def _malformed() -> MalformedRequest:
    return MalformedRequest("Send the form as its page does.")

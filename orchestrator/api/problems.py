"""Problem documents (RFC 9457): how every refusal looks, from one place.

A domain error knows no HTTP. Its category, a base class, gives the status; its
`code` is stable; its docstring is the title. What is not a refusal is a
surprise: the caller learns nothing of it but the request's id.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import structlog
from flask import Flask, Response
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from orchestrator import errors
from orchestrator.api import refusals
from orchestrator.api.answer import WholeAnswer, to_json
from orchestrator.api.call import Call, call
from orchestrator.errors import DibsError
from orchestrator.store.transaction import constraint_of, is_the_items_fault, sqlstate_of

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
# Where the environment of a request holds the code of the problem that it was answered with.
CODE: Final = "dibs.problem"

# The first class that an error is an instance of decides.
_STATUSES: Final[tuple[tuple[type[DibsError], int], ...]] = (
    (refusals.RequestTimeout, 408),
    (refusals.PayloadTooLarge, 413),
    (refusals.UnsupportedMediaType, 415),
    (refusals.UnsupportedEncoding, 415),
    (refusals.MethodNotAllowed, 405),
    (refusals.InternalError, 500),
    (errors.Invalid, 400),
    (errors.Unauthenticated, 401),
    (errors.Forbidden, 403),
    (errors.Missing, 404),
    (errors.Conflict, 409),
    (errors.Gone, 410),
    (errors.Unprocessable, 422),
    (errors.TooMany, 429),
    (errors.Unavailable, 503),
)


def status_of(kind: type[DibsError]) -> int:
    """The HTTP status of an error, the same for all with its code."""
    return next(status for category, status in _STATUSES if issubclass(kind, category))


def problem_codes() -> set[str]:
    """The codes of all problems there are."""
    return {kind.code for kind in _kinds_of(DibsError) if "code" in vars(kind)}


def problem_members(error: DibsError) -> dict[str, Any]:
    """What a problem says wherever it stands: in a document, or in an item of a batch."""
    return {
        "type": f"/problems/{error.code}",
        "title": error.title(),
        "status": status_of(type(error)),
        "detail": error.message,
        "code": error.code,
        **error.members,
    }


def problem_answer(error: DibsError) -> Response:
    """The problem document of the present request."""
    document = problem_members(error) | {
        "instance": quote(call().path),
        "requestId": call().request_id,
    }
    note_code(error)
    answered = WholeAnswer(to_json(document), document["status"], content_type=MEDIA_TYPE)
    if (retry_after := retry_after_of(error)) is not None:
        answered.headers["Retry-After"] = retry_after
        if isinstance(error, errors.RateLimited) and error.per_second is not None:
            answered.headers["RateLimit-Limit"] = str(error.per_second)
            answered.headers["RateLimit-Remaining"] = "0"
            answered.headers["RateLimit-Reset"] = retry_after
    if isinstance(error, errors.Unauthenticated):
        answered.headers["WWW-Authenticate"] = 'Bearer realm="dibs"'
    if isinstance(error, refusals.MethodNotAllowed):
        answered.headers["Allow"] = ", ".join(error.members["allow"])
    return answered


def note_code(error: DibsError) -> None:
    """Let the present request count as one that was answered with this error."""
    call().environ[CODE] = error.code


def retry_after_of(error: DibsError) -> str | None:
    """What the header says of when asking again may help; None when nothing is known of that."""
    if error.retry_after_seconds is None:
        return None
    return str(max(1, math.ceil(error.retry_after_seconds)))


def register_problems(app: Flask) -> None:
    """Answer every exception of a view, and every refusal of the router, as a problem."""
    app.register_error_handler(Exception, answer_problem)
    app.register_error_handler(HTTPException, answer_problem)


def answer_problem(exception: Exception) -> Response:
    """The problem document of an exception of the present request, which is logged."""
    return problem_answer(logged(exception))


def logged(exception: Exception) -> DibsError:
    """What the caller is told of an exception, once the log has it."""
    error = as_dibs_error(exception)
    if isinstance(error, refusals.InternalError):
        _log_surprise(exception)
    else:
        log.info("request_refused", code=error.code, **_what_was_asked(call()))
    return error


def as_dibs_error(exception: Exception) -> DibsError:
    """What the caller is told of an exception; `InternalError` when it is a surprise."""
    if isinstance(exception, DibsError):
        return exception
    if isinstance(exception, HTTPException):
        return _from_router(exception)
    if isinstance(exception, DBAPIError) and is_the_items_fault(exception):
        return _cannot_be_stored(exception)
    return _internal()


def _cannot_be_stored(error: DBAPIError) -> DibsError:
    # Nothing that the edge lets through should come here, so it is logged as what it is:
    # a check that is missing. The database's own words may hold the row; its names do not.
    log.error(
        "value_refused_by_database", sqlstate=sqlstate_of(error), constraint=constraint_of(error)
    )
    return errors.ValidationFailed(
        [{"path": "", "message": "the database cannot store a value of it"}]
    )


def _from_router(exception: HTTPException) -> DibsError:
    if isinstance(exception, MethodNotAllowed):
        allowed = sorted(exception.valid_methods or ())
        return refusals.MethodNotAllowed(f"Use {' or '.join(allowed)} here.", allow=allowed)
    if exception.code == 404:
        return errors.NotFound("There is nothing at this path.")
    if exception.code is not None and exception.code < 500:
        return refusals.MalformedRequest("The request is not proper HTTP/1.1.")
    return _internal()


def _internal() -> DibsError:
    return refusals.InternalError("The request failed. Its requestId is in the service's log.")


def _log_surprise(exception: BaseException) -> None:
    # Where it happened, but no exception's text: a database error's holds the
    # failing row, a parser's the body.
    log.error(
        "request_failed",
        exception=type(exception).__name__,
        sqlstate=sqlstate_of(exception) if isinstance(exception, DBAPIError) else None,
        frames=[
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(exception.__traceback__)[-12:]
        ],
        **_what_was_asked(call()),
    )


def _kinds_of(category: type[DibsError]) -> Iterator[type[DibsError]]:
    for kind in category.__subclasses__():
        yield kind
        yield from _kinds_of(kind)


def _what_was_asked(asked: Call) -> dict[str, str]:
    # The path, never the query: someone may have put a token into it.
    return {"method": asked.method, "path": quote(asked.path)[:200]}

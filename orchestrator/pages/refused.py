"""How a refusal looks to somebody with a browser."""

from __future__ import annotations

from typing import Final

from flask import Response, request

from orchestrator.api.access import NO_TOKEN
from orchestrator.api.page_policy import PAGES, under_policy
from orchestrator.api.parameters import request_id
from orchestrator.api.problems import logged, problem_answer
from orchestrator.errors import NotFound, Unauthenticated
from orchestrator.pages.blueprint import page, pages
from orchestrator.pages.session import COOKIE
from orchestrator.pages.sign_in import sign_in_screen
from orchestrator.pages.template import screen

_OF_THE_DOCUMENT: Final = frozenset({"content-type", "content-length"})


@pages.errorhandler(Exception)
def show_refusal(exception: Exception) -> Response:
    """The problem that the API would answer with, for people; without a session, the way in."""
    error = logged(exception)
    problem = problem_answer(error)
    if isinstance(error, Unauthenticated):
        # Whoever comes for the first time has done nothing wrong.
        is_new = request.method != "POST" and COOKIE not in request.cookies
        shown = sign_in_screen(problem.status_code, reason=None if is_new else error.message)
    else:
        shown = screen(
            "refused.html",
            problem.status_code,
            error=error,
            request_id=request_id(),
            retry_after_seconds=problem.headers.get("Retry-After"),
        )
    for name, value in problem.headers:
        if name.lower() not in _OF_THE_DOCUMENT:
            shown.headers[name] = value
    return under_policy(shown, PAGES)


@pages.get("/<path:rest>")
@page(NO_TOKEN)
def show_nothing(rest: str) -> Response:  # noqa: ARG001
    """Whatever no page is at."""
    raise NotFound("There is no page at this address.")

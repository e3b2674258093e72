"""What is true of every answer to a hostile request, whichever it is."""

from typing import Any, Final

import orjson

from tests.contract.raw_http import RawAnswer

MEMBERS: Final = {"type", "title", "status", "detail", "instance", "code", "requestId"}
# Members that say which request it was: all others of two problems that tell the same are equal.
OF_THE_REQUEST: Final = {"instance", "requestId"}
FROM_WITHIN: Final = (
    b"Traceback",
    b"psycopg",
    b"sqlalchemy",
    b"workflowRuns",
    b"accessTokens",
    b"SELECT",
    b"/site-packages",
)


def check_problem(answer: RawAnswer) -> None:
    """
    Check that nothing from within the service is in it, and that a refusal is a whole problem.

    Raises:
        AssertionError: It is a 500, or not all is there that belongs to it.
    """
    assert answer.status != 500
    for inside in FROM_WITHIN:
        assert inside not in answer.body
    if answer.code is None:
        return
    problem = problem_of(answer)
    assert problem.keys() >= MEMBERS
    assert problem["status"] == answer.status
    assert answer.headers["x-request-id"] == problem["requestId"]
    if answer.status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    if answer.status == 405:
        assert answer.headers["allow"]
    if answer.status in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1


def problem_of(answer: RawAnswer) -> dict[str, Any]:
    """A problem document."""
    problem: dict[str, Any] = orjson.loads(answer.body)
    return problem


def check_alike(*answers: RawAnswer) -> RawAnswer:
    """Check that nobody can tell these problems apart; the first of them."""
    first, *others = answers
    for other in others:
        assert (other.status, other.headers.keys()) == (first.status, first.headers.keys())
        assert without_request(other) == without_request(first)
    return first


def without_request(answer: RawAnswer) -> dict[str, Any]:
    """What a problem says, but for which request it was."""
    return {name: value for name, value in problem_of(answer).items() if name not in OF_THE_REQUEST}

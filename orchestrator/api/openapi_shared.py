"""What many routes of the OpenAPI document share: it stands once, under `components`.

A problem's response is told of by a reference whose description, which OpenAPI 3.1
lets stand beside it, names the codes that this one route has.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.api.access import ON_BEHALF_OF
from orchestrator.api.blueprint import COMPONENT
from orchestrator.api.parameters import IDEMPOTENCY_KEY, KEY_PATTERN
from orchestrator.api.problems import MEDIA_TYPE
from orchestrator.api.request_id import HEADER as REQUEST_ID
from orchestrator.api.wire.service import Problem

Part = dict[str, Any]

WHATEVER_IS_ASKED: Final = (
    "A path answers a method that it does not know with 405 and `Allow`. `Accept` is not heeded:"
    " an answer has the one media type that is described. What is not HTTP/1.1 at all gets 400"
    " from the server itself, without a body."
)

HEADERS: Final[Part] = {
    "RequestId": {
        "description": "the request's own when it is sane, else one made here; in the log too",
        "required": True,
        "schema": {"type": "string", "pattern": r"^[A-Za-z0-9._-]{1,64}$"},
    },
    "RetryAfter": {
        "description": "seconds; when asking again may help, how soon",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RetryAfterAlways": {
        "description": "seconds",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "RateLimitLimit": {
        "description": "requests a second, where it is a budget that is used up",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RateLimitRemaining": {"schema": {"type": "integer", "const": 0}},
    "RateLimitReset": {
        "description": "seconds until there is budget again",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Challenge": {"required": True, "schema": {"type": "string", "pattern": "^Bearer "}},
}


def _header(name: str) -> Part:
    return {"$ref": f"#/components/headers/{name}"}


def _problem(description: str, **components: str) -> Part:
    """A problem whose headers, in the spelling of an argument, are described by these."""
    headers = {name.replace("_", "-"): _header(part) for name, part in components.items()}
    return {
        "description": description,
        "headers": {REQUEST_ID: _header("RequestId"), **headers},
        "content": {MEDIA_TYPE: {"schema": {"$ref": COMPONENT.format(model=Problem.__name__)}}},
    }


RESPONSES: Final[Part] = {
    "Problem": _problem("refused", Retry_After="RetryAfter"),
    "NoCredentials": _problem("not known", WWW_Authenticate="Challenge"),
    "NotNow": _problem("not now", Retry_After="RetryAfterAlways"),
    "TooOften": _problem(
        "asked too often",
        Retry_After="RetryAfterAlways",
        RateLimit_Limit="RateLimitLimit",
        RateLimit_Remaining="RateLimitRemaining",
        RateLimit_Reset="RateLimitReset",
    ),
    "HeadTooLarge": {
        "description": "too many headers, or too long ones: by the server itself, without a body"
    },
}

_SHAPES: Final = {401: "NoCredentials", 429: "TooOften", 503: "NotNow"}

_REQUEST_HEADERS: Final[dict[str, Part]] = {
    IDEMPOTENCY_KEY: {"type": "string", "pattern": KEY_PATTERN},
    ON_BEHALF_OF: {"type": "string", "description": "`Bearer` and the caller's token"},
}


def of_problem(status: int, codes: set[str]) -> Part:
    """The response of a route that refuses with this status, for any of these reasons."""
    return {
        "$ref": f"#/components/responses/{_SHAPES.get(status, 'Problem')}",
        "description": ", ".join(sorted(codes)),
    }


def of_the_server() -> Part:
    """What is answered before a route is looked for, by status."""
    return {"431": {"$ref": "#/components/responses/HeadTooLarge"}}


def with_request_id(answer: Part) -> Part:
    """An answer of a route's own, with the header that every answer has."""
    return answer | {"headers": {REQUEST_ID: _header("RequestId")}}


def request_header(name: str) -> Part:
    """A request header that a route heeds."""
    return {"in": "header", "name": name, "required": False, "schema": _REQUEST_HEADERS[name]}

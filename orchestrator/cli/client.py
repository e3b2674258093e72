"""The orchestrator's API as the commands use it."""

import os
from collections.abc import Mapping
from typing import Any

import httpx2

from orchestrator.cli.failure import (
    MISCONFIGURED,
    NOT_ALLOWED,
    REFUSED,
    TRY_LATER,
    UNAVAILABLE,
    Failure,
)
from orchestrator.cli.output import printable
from orchestrator.settings import SecretUnusable, secret_from

DEFAULT_URL = "http://127.0.0.1:8420"
# Longer than the longest wait that a route offers.
TIMEOUT_SECONDS = 40.0


def request(
    method: str,
    path: str,
    *,
    params: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """
    One call with `DIBS_URL` and `DIBS_TOKEN`; options that are None are left out.

    Returns:
        The answer's JSON; None when it has none to give.

    Raises:
        Failure: Refused, not allowed or not reachable, in the orchestrator's own words.
    """
    url = os.environ.get("DIBS_URL") or DEFAULT_URL
    try:
        answer = httpx2.request(
            method,
            f"{url.rstrip('/')}/v1{path}",
            params={name: value for name, value in (params or {}).items() if value is not None},
            json=body,
            headers={"Authorization": f"Bearer {_token()}", **(headers or {})},
            timeout=TIMEOUT_SECONDS,
        )
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise Failure(f"DIBS_URL is not a URL: {error}", MISCONFIGURED) from error
    except httpx2.TransportError as error:
        raise Failure(
            f"No answer from {url}: {error or type(error).__name__}", UNAVAILABLE
        ) from error
    if answer.is_success:
        return answer.json() if answer.content else None
    raise Failure(_sentence(answer), _exit_code(answer.status_code))


def _token() -> str:
    try:
        token = secret_from(os.environ, "DIBS_TOKEN")
    except SecretUnusable as error:
        raise Failure(f"{error}.", MISCONFIGURED) from error
    if not token:
        raise Failure("DIBS_TOKEN is not set (a token from `dibs token create`).", MISCONFIGURED)
    return token


def _sentence(answer: httpx2.Response) -> str:
    try:
        problem = answer.json()
        lines = [f"{problem['detail'] or problem['title']} ({problem['code']})"]
        if len(bad_items := problem.get("errors", [])) > 1:
            lines += [f"{item['path']}: {item['message']}" for item in bad_items]
    except (ValueError, KeyError, TypeError):
        return f"The orchestrator answered {answer.status_code} {answer.reason_phrase}."
    return "\n".join(printable(line) for line in lines)


def _exit_code(status: int) -> int:
    if status in (401, 403):
        return NOT_ALLOWED
    return TRY_LATER if status == 429 or status >= 500 else REFUSED

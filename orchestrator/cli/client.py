"""The orchestrator's API as the commands use it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
from orchestrator.secret import SecretUnusable, secret_from

DEFAULT_URL = "http://127.0.0.1:8420"
# Longer than the longest wait that a route offers.
TIMEOUT_SECONDS = 40.0
TRIES = 5
PAUSE_SECONDS = 1.0
MOST_PAUSE_SECONDS = 30.0


class NotNow(Failure):
    """What was asked may have been done; asked again after a while it is answered."""

    def __init__(self, message: str, exit_code: int, *, after_seconds: float) -> None:
        super().__init__(message, exit_code)
        self.after_seconds = after_seconds


class Api:
    """An orchestrator, spoken to over one connection."""

    def __init__(self, url: str, http: httpx2.Client) -> None:
        self._url = url
        self._http = http

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """
        One call; options that are None are left out.

        Returns:
            The answer's JSON; None when it has none to give.

        Raises:
            Failure: Refused, not allowed or not reachable, in the orchestrator's own words.
        """
        try:
            answer = self._http.request(
                method,
                f"{self._url}/v1{path}",
                params={name: value for name, value in (params or {}).items() if value is not None},
                json=body,
                headers=headers,
            )
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise Failure(f"DIBS_URL is not a URL: {error}", MISCONFIGURED) from error
        except httpx2.ConnectError as error:
            raise Failure(f"No answer from {self._url}: {error}", UNAVAILABLE) from error
        except httpx2.TransportError as error:
            said = f"No answer from {self._url}: {error or type(error).__name__}"
            raise NotNow(said, UNAVAILABLE, after_seconds=PAUSE_SECONDS) from error
        if not answer.is_success:
            raise _failure(answer)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise Failure(f"{self._url} is no orchestrator of Dibs.", MISCONFIGURED) from error

    def post_by_key(self, path: str, body: Mapping[str, Any], key: str) -> Any:
        """
        A call that is done once however often it is sent; told to come later, it does.

        Raises:
            Failure: As `request`; `NotNow` when it was told so too often.
        """
        headers = {"Idempotency-Key": key}
        for _ in range(TRIES - 1):
            try:
                return self.request("POST", path, body=body, headers=headers)
            except NotNow as not_now:
                time.sleep(min(not_now.after_seconds, MOST_PAUSE_SECONDS))
        return self.request("POST", path, body=body, headers=headers)


@contextmanager
def connected() -> Iterator[Api]:
    """The orchestrator at `DIBS_URL`, for who holds the token in `DIBS_TOKEN`."""
    url = (os.environ.get("DIBS_URL") or DEFAULT_URL).rstrip("/")
    headers = {"Authorization": f"Bearer {_token()}"}
    try:
        http = httpx2.Client(headers=headers, timeout=TIMEOUT_SECONDS)
    except (httpx2.InvalidURL, OSError) as error:
        said = f"A proxy or the certificates of the environment cannot be used: {error}"
        raise Failure(said, MISCONFIGURED) from error
    with http:
        yield Api(url, http)


def request(
    method: str,
    path: str,
    *,
    params: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """One call over a connection of its own."""
    with connected() as api:
        return api.request(method, path, params=params, body=body, headers=headers)


def _token() -> str:
    try:
        token = secret_from(os.environ, "DIBS_TOKEN")
    except SecretUnusable as error:
        raise Failure(f"{error}.", MISCONFIGURED) from error
    if not token:
        raise Failure("DIBS_TOKEN is not set (a token from `dibs token create`).", MISCONFIGURED)
    if not token.isascii() or not token.isprintable():
        raise Failure("DIBS_TOKEN holds what no token has.", MISCONFIGURED)
    return token


def _failure(answer: httpx2.Response) -> Failure:
    status, sentence = answer.status_code, _sentence(answer)
    if status in (401, 403):
        return Failure(sentence, NOT_ALLOWED)
    if status == 429 or status >= 500:
        after = answer.headers.get("Retry-After", "")
        seconds = float(after) if after.isdigit() else PAUSE_SECONDS
        return NotNow(sentence, TRY_LATER, after_seconds=seconds)
    return Failure(sentence, REFUSED)


def _sentence(answer: httpx2.Response) -> str:
    try:
        problem = answer.json()
        lines = [f"{problem['detail'] or problem['title']} ({problem['code']})"]
        if len(bad_items := problem.get("errors", [])) > 1:
            lines += [f"{item['path']}: {item['message']}" for item in bad_items]
    except (ValueError, KeyError, TypeError):
        return f"The orchestrator answered {answer.status_code} {answer.reason_phrase}."
    return "\n".join(printable(line) for line in lines)

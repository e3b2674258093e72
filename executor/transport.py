"""One connection pool to the orchestrator, and what its answers amount to."""

import ssl
import threading
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx2
import orjson
import structlog

from executor.tracing import traceparent
from executor.wire import Problem, UnreadableError, read

log = structlog.get_logger()

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 10.0
"""How long an answer may take beyond the time a long poll was asked to wait."""


class UnansweredError(Exception):
    """The orchestrator gave no answer that tells what it did."""

    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class RefusedError(Exception):
    """
    The orchestrator refused the request; repeating it changes nothing.

    Attributes:
        blames_caller: The credential that is not good is the one of whom this executor
            asked for. Any other 401 means the executor's own.
    """

    def __init__(
        self, status: int, problem: Problem, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(problem.detail or problem.title or f"{status} {problem.code}")
        self.status = status
        self.code = problem.code
        self.blames_caller = status == 401 and problem.credential == "on-behalf-of"
        self.retry_after_seconds = retry_after_seconds


class Transport:
    """Sends requests with this executor's token, one attempt each."""

    def __init__(self, url: str, token: str, tls: ssl.SSLContext) -> None:
        self._away = threading.Event()
        self._http = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            limits=httpx2.Limits(max_connections=64, keepalive_expiry=30.0),
            verify=tls,
            # A proxy for the outside world must not swallow a loopback address.
            trust_env=not _is_loopback(url),
        )

    @property
    def is_away(self) -> bool:
        """Whether the last request went unanswered."""
        return self._away.is_set()

    def close(self) -> None:
        """Close the pool's connections."""
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        request_id: str,
        headers: Mapping[str, str] | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> bytes:
        """
        Send one request and return the body of its answer.

        Args:
            request_id: The same for every attempt at one request. It stands in the
                orchestrator's log and in the events that the request caused.

        Raises:
            RefusedError: The orchestrator said no, and has done nothing.
            UnansweredError: Nobody knows what it has done, if anything.
        """
        sent_headers = {"X-Request-Id": request_id, **(headers or {})}
        if body is not None:
            sent_headers["Content-Type"] = "application/json"
        if (within := traceparent()) is not None:
            sent_headers["traceparent"] = within
        try:
            response = self._http.request(
                method,
                path,
                content=None if body is None else orjson.dumps(body),
                headers=sent_headers,
                timeout=httpx2.Timeout(answer_seconds, connect=CONNECT_SECONDS),
            )
        except httpx2.HTTPError as error:
            self._note_away(path, type(error).__name__)
            raise UnansweredError(f"{type(error).__name__}: {error}") from error
        return self._answer_of(response, path)

    def _answer_of(self, response: httpx2.Response, path: str) -> bytes:
        status = response.status_code
        if response.is_success:
            self._note_back(path)
            return response.content
        retry_after = _retry_after_seconds(response)
        if status in (408, 429) or status >= 500 or not response.is_client_error:
            self._note_away(path, str(status))
            raise UnansweredError(f"{status} from {path}", retry_after)
        self._note_back(path)
        raise RefusedError(status, _problem_of(response), retry_after)

    def _note_away(self, path: str, reason: str) -> None:
        if not self._away.is_set():
            self._away.set()
            log.warning("orchestrator_away", path=path, reason=reason)

    def _note_back(self, path: str) -> None:
        if self._away.is_set():
            self._away.clear()
            log.info("orchestrator_back", path=path)


def _problem_of(response: httpx2.Response) -> Problem:
    try:
        return read(Problem, response.content)
    except UnreadableError:
        return Problem(status=response.status_code)


def _retry_after_seconds(response: httpx2.Response) -> float | None:
    """When to come back: in so many seconds, or at a time that the sender's own clock shows."""
    text = response.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit() and len(text) < 7:
        return float(text)
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError, TypeError):
        # Nothing of the kind, and no clock of ours to measure a bare time by.
        return None
    return max(0.0, wait.total_seconds())


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

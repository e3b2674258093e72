"""The orchestrator as the executor sees it: one method per route.

Every method makes one attempt. It returns the answer, or raises `Refused` when
the orchestrator said no, or `Unanswered` when nobody can know what it did.
Repeating is `executor.retry`'s; a request keeps its id over all its attempts.
"""

import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import orjson
import structlog
from pydantic import BaseModel, ValidationError

from executor.wire import Caller, Claimed, Dispatch, Problem, Released, Renewed, Reported

log = structlog.get_logger()

ANSWER_SECONDS = 10.0
"""How long an answer may take beyond the time a long poll was asked to wait."""

Answer = TypeVar("Answer", bound=BaseModel)


class UnansweredError(Exception):
    """The orchestrator gave no answer that tells what it did."""

    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class RefusedError(Exception):
    """The orchestrator refused the request; repeating it changes nothing."""

    def __init__(
        self, status: int, problem: Problem, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(problem.detail or problem.title or f"{status} {problem.code}")
        self.status = status
        self.code = problem.code
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class Identity:
    """Who this process is: its token, its instance's name, its session."""

    token: str
    instance: str
    session: str


class Orchestrator:
    """
    One connection pool to the orchestrator; each thread with a role has its own.

    A heartbeat must never wait for a connection that a claim is parked on.
    """

    def __init__(self, url: str, identity: Identity, tls: ssl.SSLContext) -> None:
        self._identity = identity
        self._away = threading.Event()
        self._http = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {identity.token}", "Accept": "application/json"},
            timeout=httpx2.Timeout(ANSWER_SECONDS, connect=3.0),
            limits=httpx2.Limits(max_connections=64, keepalive_expiry=30.0),
            verify=tls,
            # A proxy for the outside world must not swallow a loopback address.
            trust_env=not _is_loopback(url),
        )

    @property
    def is_away(self) -> bool:
        """Whether the last request of this pool went unanswered."""
        return self._away.is_set()

    def register(self, facts: Mapping[str, Any]) -> None:
        """Say what this executor serves; the last word of a session counts."""
        self._send(
            "PUT",
            f"/v1/executors/{self._identity.instance}",
            {"session": self._identity.session, **facts},
        )

    def claim(
        self,
        *,
        request_id: str,
        queues: Sequence[str],
        limit: int,
        lease_seconds: int,
        wait_seconds: int,
    ) -> Claimed:
        """Claim up to `limit` runs, waiting up to `wait_seconds` for the first."""
        body = {
            "requestId": request_id,
            "queues": list(queues),
            "limit": limit,
            "leaseSeconds": lease_seconds,
            "waitSeconds": wait_seconds,
        }
        answer = self._send(
            "POST", "/v1/claims", self._spoken(body), answer_seconds=wait_seconds + ANSWER_SECONDS
        )
        return _read(Claimed, answer)

    def claim_run(
        self,
        run_id: str,
        *,
        request_id: str,
        lease_seconds: int,
        caller_token: str,
        pending_data: Mapping[str, Any],
    ) -> Dispatch:
        """
        Claim one run on a caller's behalf.

        Args:
            pending_data: ``{"input": …}`` when the caller brought input, else empty.
        """
        body = {"requestId": request_id, "leaseSeconds": lease_seconds, **pending_data}
        answer = self._send(
            "POST",
            f"/v1/runs/{run_id}/claim",
            self._spoken(body),
            headers=_on_behalf_of(caller_token),
        )
        return _read(Dispatch, answer)

    def renew(
        self,
        leases: Sequence[Mapping[str, Any]],
        *,
        claiming: Sequence[str],
        as_of: str | None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> Renewed:
        """Renew leases, each for its own length."""
        body = self._spoken({"leases": list(leases), "claiming": list(claiming), "asOf": as_of})
        answer = self._send("POST", "/v1/leases/renew", body, answer_seconds=answer_seconds)
        return _read(Renewed, answer)

    def release(self, leases: Sequence[Mapping[str, str]], reason: str) -> Released:
        """Give leases back unfinished."""
        body = {"leases": list(leases), "reason": reason}
        return _read(Released, self._send("POST", "/v1/leases/release", self._spoken(body)))

    def report(self, reports: Sequence[bytes], *, chain: bool) -> Reported:
        """Tell outcomes; each report is JSON already, so that none is encoded twice."""
        body = {"chain": chain, "reports": [orjson.Fragment(report) for report in reports]}
        return _read(Reported, self._send("POST", "/v1/reports", self._spoken(body)))

    def start_step(self, run_id: str, step_index: int, lease_id: str) -> None:
        """Write ahead that a mutating step begins."""
        body = self._spoken({"leaseId": lease_id})
        self._send("POST", f"/v1/runs/{run_id}/steps/{step_index}/start", body)

    def whoami(self, caller_token: str) -> Caller:
        """Ask who a caller is, with this executor's own credential beside the caller's."""
        answer = self._send("GET", "/v1/whoami", headers=_on_behalf_of(caller_token))
        return _read(Caller, answer)

    def _spoken(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"session": self._identity.session, "executor": self._identity.instance, **body}

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> bytes:
        sent_headers = dict(headers or {})
        if body is not None:
            sent_headers["Content-Type"] = "application/json"
        try:
            response = self._http.request(
                method,
                path,
                content=None if body is None else orjson.dumps(body),
                headers=sent_headers,
                timeout=httpx2.Timeout(answer_seconds, connect=3.0),
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
            log.warning("orchestrator-away", path=path, reason=reason)

    def _note_back(self, path: str) -> None:
        if self._away.is_set():
            self._away.clear()
            log.info("orchestrator-back", path=path)


OrchestratorFactory = Callable[[], Orchestrator]


def _read(model: type[Answer], body: bytes) -> Answer:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        # Something between us and the orchestrator has answered in its place.
        raise UnansweredError(f"not an answer of the orchestrator: {error.title}") from error


def _problem_of(response: httpx2.Response) -> Problem:
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return Problem(status=response.status_code)


def _retry_after_seconds(response: httpx2.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


def _on_behalf_of(token: str) -> dict[str, str]:
    return {"Dibs-On-Behalf-Of": f"Bearer {token}"}


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

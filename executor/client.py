"""The orchestrator as the executor sees it: one method per route.

Every method makes one attempt. It returns the answer, or raises `RefusedError`
when the orchestrator said no, or `UnansweredError` when nobody can know what it
did. Repeating is `executor.retry`'s; a request keeps its id over all attempts:
whoever may repeat one makes the id before the first.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson

from executor.transport import ANSWER_SECONDS, Transport, UnansweredError
from executor.wire import (
    Caller,
    Claimed,
    Dispatch,
    Read,
    Released,
    Renewed,
    Reported,
    UnreadableError,
    read,
)

WHOAMI_SECONDS = 3.0
"""How long the answer to a question about a caller may take: he waits for it."""


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
        self._transport = Transport(url, identity.token, tls)

    @property
    def is_away(self) -> bool:
        """Whether the last request of this pool went unanswered."""
        return self._transport.is_away

    def close(self) -> None:
        """Close the pool's connections."""
        self._transport.close()

    def register(self, facts: Mapping[str, Any], *, request_id: str) -> None:
        """Say what this executor serves; the last word of a session counts."""
        self._transport.send(
            "PUT",
            f"/v1/executors/{self._identity.instance}",
            {"session": self._identity.session, **facts},
            request_id=request_id,
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
        answer = self._transport.send(
            "POST",
            "/v1/claims",
            self._spoken(body),
            request_id=request_id,
            answer_seconds=wait_seconds + ANSWER_SECONDS,
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
        answer = self._transport.send(
            "POST",
            f"/v1/runs/{run_id}/claim",
            self._spoken(body),
            request_id=request_id,
            headers=_on_behalf_of(caller_token),
        )
        return _read(Dispatch, answer)

    def renew(
        self,
        leases: Sequence[Mapping[str, Any]],
        *,
        claiming: Sequence[str],
        as_of: str | None,
        request_id: str,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> Renewed:
        """Renew leases, each for its own length."""
        body = self._spoken({"leases": list(leases), "claiming": list(claiming), "asOf": as_of})
        answer = self._transport.send(
            "POST",
            "/v1/leases/renew",
            body,
            request_id=request_id,
            answer_seconds=answer_seconds,
        )
        return _read(Renewed, answer)

    def release(
        self, leases: Sequence[Mapping[str, str]], reason: str, *, request_id: str
    ) -> Released:
        """Give leases back unfinished."""
        body = self._spoken({"leases": list(leases), "reason": reason})
        answer = self._transport.send("POST", "/v1/leases/release", body, request_id=request_id)
        return _read(Released, answer)

    def report(self, reports: Sequence[bytes], *, chain: bool, request_id: str) -> Reported:
        """Tell outcomes; each report is JSON already, so that none is encoded twice."""
        fragments = [orjson.Fragment(report) for report in reports]
        body = self._spoken({"chain": chain, "reports": fragments})
        answer = self._transport.send("POST", "/v1/reports", body, request_id=request_id)
        return _read(Reported, answer)

    def start_step(self, run_id: str, step_index: int, lease_id: str, *, request_id: str) -> None:
        """Write ahead that a mutating step begins."""
        path = f"/v1/runs/{run_id}/steps/{step_index}/start"
        self._transport.send(
            "POST", path, self._spoken({"leaseId": lease_id}), request_id=request_id
        )

    def whoami(self, caller_token: str) -> Caller:
        """Ask who a caller is, with this executor's own credential beside the caller's."""
        answer = self._transport.send(
            "GET",
            "/v1/whoami",
            request_id=str(uuid4()),
            headers=_on_behalf_of(caller_token),
            answer_seconds=WHOAMI_SECONDS,
        )
        return _read(Caller, answer)

    def _spoken(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"session": self._identity.session, "executor": self._identity.instance, **body}


def _read(kind: type[Read], body: bytes) -> Read:
    try:
        return read(kind, body)
    except UnreadableError as error:
        # Something between us and the orchestrator has answered in its place.
        raise UnansweredError(f"not an answer of the orchestrator: {error}") from error


def _on_behalf_of(token: str) -> dict[str, str]:
    return {"Dibs-On-Behalf-Of": f"Bearer {token}"}

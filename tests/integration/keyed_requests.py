"""Each kind of request that changes something, over HTTP, as it is sent and sent again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2
import psycopg

from tests.acceptance.client import Client, Json, outcome_of

_numbers = itertools.count(1)


@dataclass(frozen=True)
class KeyedRequest:
    """
    One request with its key.

    Attributes:
        kind: The event that it leaves in the ledger, once.
        queue: Of its run, which has none beside it.
        mark: What its statements speak of, and no others.
    """

    client: Client
    path: str
    body: Json
    kind: str
    queue: str
    mark: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self) -> httpx2.Response:
        return self.client.send("POST", self.path, self.body, headers=self.headers)

    def effects(self, owner: psycopg.Connection[Any]) -> int:
        """How often it took effect."""
        ((count,),) = owner.execute(
            'SELECT count(*) FROM "runEvents" e JOIN "workflowRuns" r ON r.id = e."runId"'
            " WHERE r.queue = %s AND e.kind = %s",
            [self.queue, self.kind],
        ).fetchall()
        return int(count)


def problem_of(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code of a refusal, also where it stands in an item."""
    said = answer.json()
    if answer.is_success:
        (result,) = said["results"]
        said = result["problem"]
    return said["status"], said["code"]


def is_refused(answer: httpx2.Response) -> bool:
    """Whether the request, or the one item in it, was refused."""
    if not answer.is_success:
        return True
    return any(result["problem"] for result in answer.json().get("results", ()))


Prepare = Callable[[Client, Client], KeyedRequest]


def _queue() -> str:
    return f"keyed-{next(_numbers)}-"


def create(web: Client, _: Client) -> KeyedRequest:
    queue = _queue()
    return KeyedRequest(
        web,
        "/v1/runs",
        {"workflow": "record", "queue": queue},
        "created",
        queue,
        queue,
        {"Idempotency-Key": queue},
    )


def claim(web: Client, holder: Client) -> KeyedRequest:
    queue = _queue()
    web.create(queue)
    return KeyedRequest(holder, "/v1/claims", holder.claim_body(queue), "claimed", queue, queue)


def claim_by_id(web: Client, holder: Client) -> KeyedRequest:
    queue = _queue()
    run_id = web.create(queue)
    body = {"session": str(uuid4()), "requestId": str(uuid4())}
    return KeyedRequest(
        holder, f"/v1/runs/{run_id}/claim", body, "claimed", queue, body["requestId"]
    )


def report(web: Client, holder: Client) -> KeyedRequest:
    queue, dispatch = _held(web, holder)
    told = outcome_of(dispatch, {"status": "success", "output": 7})
    body = {"session": str(uuid4()), "chain": True, "reports": [told]}
    return KeyedRequest(holder, "/v1/reports", body, "reported", queue, dispatch["lease"]["id"])


def renew(web: Client, holder: Client) -> KeyedRequest:
    queue, dispatch = _held(web, holder)
    body = {"session": str(uuid4()), "leases": [_named(dispatch)], "claiming": [], "asOf": None}
    return KeyedRequest(holder, "/v1/leases/renew", body, "started", queue, dispatch["lease"]["id"])


def release(web: Client, holder: Client) -> KeyedRequest:
    queue, dispatch = _held(web, holder)
    body = {"session": str(uuid4()), "leases": [_named(dispatch)], "reason": "draining"}
    return KeyedRequest(
        holder, "/v1/leases/release", body, "released", queue, dispatch["lease"]["id"]
    )


def abort(web: Client, _: Client) -> KeyedRequest:
    queue = _queue()
    run_id = web.create(queue)
    return KeyedRequest(
        web,
        f"/v1/runs/{run_id}/abort",
        {},
        "aborted",
        queue,
        queue,
        {"Idempotency-Key": queue},
    )


REQUESTS: dict[str, Prepare] = {
    prepare.__name__.replace("_", "-"): prepare
    for prepare in (create, claim, claim_by_id, report, renew, release, abort)
}


def _held(web: Client, holder: Client) -> tuple[str, Json]:
    queue = _queue()
    web.create(queue)
    (dispatch,) = holder.claim(queue)
    return queue, dispatch


def _named(dispatch: Json) -> Json:
    return {"leaseId": dispatch["lease"]["id"], "runId": dispatch["run"]["id"]}

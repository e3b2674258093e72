"""Every request that changes something, sent twice: the second changes nothing and is answered."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
import pytest

from orchestrator.lifecycle import Role
from tests.integration.face import Face, Json, fresh_name, step

EXECUTOR, CLIENT, OPERATOR = Role.EXECUTOR, Role.CLIENT, Role.OPERATOR


@dataclass(frozen=True)
class Request:
    """
    One request that may be made, and what its second answer may differ in.

    Attributes:
        differs: Members of the answer that tell the time, or that it is a repeat.
        then: What the second copy's status is, when it is another than the first's.
    """

    role: Role
    path: str
    body: Any = None
    keyed: bool = False
    differs: tuple[str, ...] = ()
    then: int | None = None


def named(dispatch: Json) -> Json:
    return {"leaseId": dispatch["lease"]["id"], "runId": dispatch["run"]["id"]}


def act(face: Face, word: str, run_id: str, body: Json) -> Request:
    role = OPERATOR if word == "resolve" else CLIENT
    return Request(role, f"/v1/runs/{run_id}/{word}", body, keyed=True)


def create(face: Face) -> Request:
    body = {"workflow": "refund", "queue": fresh_name("queue")}
    return Request(CLIENT, "/v1/runs", body, keyed=True, then=200)


def create_batch(face: Face) -> Request:
    runs = [{"workflow": "refund", "idempotencyKey": str(uuid4())} for _ in range(2)]
    return Request(CLIENT, "/v1/runs/batch", {"runs": runs}, differs=("created",))


def resume(face: Face) -> Request:
    return act(face, "resume", face.waiting("refund")["run"]["id"], {"input": {}})


def abort(face: Face) -> Request:
    return act(face, "abort", face.create("refund")["id"], {"reason": "no"})


def retry(face: Face) -> Request:
    failed = face.dispatch("refund", maxFailures=1)
    face.fail(failed)
    return act(face, "retry", failed["run"]["id"], {})


def resolve(face: Face) -> Request:
    parked = face.begun("refund")
    face.release(parked)
    return act(face, "resolve", parked["run"]["id"], {"as": "run-again"})


def bulk_abort(face: Face) -> Request:
    queue = face.create("refund")["queue"]
    return Request(CLIENT, "/v1/bulk/abort", {"filter": {"queue": queue}}, keyed=True)


def bulk_retry(face: Face) -> Request:
    run = face.create("refund")
    face.abort(run["id"])
    return Request(CLIENT, "/v1/bulk/retry", {"filter": {"queue": run["queue"]}}, keyed=True)


def claim(face: Face) -> Request:
    queue = face.create("refund")["queue"]
    face.create("refund", queue=queue)
    body = {"session": face.session, "requestId": str(uuid4()), "queues": [queue], "limit": 1}
    return Request(
        EXECUTOR, "/v1/claims", body, differs=("replayed", "leaseExpiresAt", "expiresAt")
    )


def claim_by_id(face: Face) -> Request:
    body = {"session": face.session, "requestId": str(uuid4())}
    path = f"/v1/runs/{face.create('refund')['id']}/claim"
    return Request(EXECUTOR, path, body, differs=("replayed", "leaseExpiresAt", "expiresAt"))


def report(face: Face) -> Request:
    dispatch = face.dispatch("refund")
    told = {**named(dispatch), "stepIndex": 0, "outcome": {"status": "success", "output": 1}}
    body = {"session": face.session, "reports": [told]}
    return Request(EXECUTOR, "/v1/reports", body, differs=("replayed",))


def renew(face: Face) -> Request:
    face.dispatch("refund")  # An orphan, which the first copy frees.
    held = face.dispatch("refund")
    told = face.ask(EXECUTOR, "POST", "/v1/leases/renew", {"session": face.session, "leases": []})
    body = {"session": face.session, "leases": [named(held)], "asOf": told["serverTime"]}
    return Request(
        EXECUTOR, "/v1/leases/renew", body, differs=("released", "expiresAt", "serverTime")
    )


def release(face: Face) -> Request:
    body = {"session": face.session, "leases": [named(face.dispatch("refund"))]}
    return Request(EXECUTOR, "/v1/leases/release", body, differs=("released", "lost"))


def start_step(face: Face) -> Request:
    dispatch = face.dispatch("refund")
    body = {"session": face.session, "leaseId": dispatch["lease"]["id"]}
    return Request(EXECUTOR, f"/v1/runs/{dispatch['run']['id']}/steps/0/start", body)


def register(face: Face) -> Request:
    body = {"session": str(uuid4()), "version": "1", "slots": 4, "queues": [], "stepTypes": []}
    path = f"/v1/executors/{fresh_name('instance')}"
    return Request(EXECUTOR, path, {**body, "replaces": "others"}, differs=("released",))


def to_executor(word: str) -> Callable[[Face], Request]:
    def prepared(face: Face) -> Request:
        face.register(session=str(uuid4()))
        return Request(OPERATOR, f"/v1/executors/{EXECUTOR.value}:one/{word}", {})

    return prepared


def to_queue(word: str) -> Callable[[Face], Request]:
    return lambda face: Request(OPERATOR, f"/v1/queues/{fresh_name('queue')}/{word}", {})


def put_workflow(face: Face) -> Request:
    return Request(OPERATOR, f"/v1/workflows/{fresh_name('workflow')}", {"steps": [step("a")]})


def put_limits(_face: Face) -> Request:
    body = {"maxConcurrency": 8, "ratePerSecond": 5, "maxConcurrencyPerKey": 2}
    return Request(OPERATOR, f"/v1/queues/{fresh_name('queue')}", body)


def put_schedule(face: Face) -> Request:
    body = {"workflow": "report", "cron": "0 2 * * *", "queue": "default"}
    return Request(
        OPERATOR, f"/v1/schedules/{fresh_name('schedule')}", body, differs=("nextAt", "changedAt")
    )


def delete_schedule(face: Face) -> Request:
    name = fresh_name("schedule")
    face.schedule(name)
    return Request(OPERATOR, f"/v1/schedules/{name}", then=404)


def run_now(face: Face) -> Request:
    name = fresh_name("schedule")
    face.schedule(name)
    return Request(OPERATOR, f"/v1/schedules/{name}/run-now", {}, keyed=True)


CASES: dict[tuple[str, str], Callable[[Face], Request]] = {
    ("POST", "/v1/runs"): create,
    ("POST", "/v1/runs/batch"): create_batch,
    ("POST", "/v1/runs/{run_id}/resume"): resume,
    ("POST", "/v1/runs/{run_id}/abort"): abort,
    ("POST", "/v1/runs/{run_id}/retry"): retry,
    ("POST", "/v1/runs/{run_id}/resolve"): resolve,
    ("POST", "/v1/bulk/abort"): bulk_abort,
    ("POST", "/v1/bulk/retry"): bulk_retry,
    ("POST", "/v1/claims"): claim,
    ("POST", "/v1/runs/{run_id}/claim"): claim_by_id,
    ("POST", "/v1/reports"): report,
    ("POST", "/v1/leases/renew"): renew,
    ("POST", "/v1/leases/release"): release,
    ("POST", "/v1/runs/{run_id}/steps/{index}/start"): start_step,
    ("PUT", "/v1/executors/{instance}"): register,
    ("POST", "/v1/executors/{name}/drain"): to_executor("drain"),
    ("POST", "/v1/executors/{name}/quarantine"): to_executor("quarantine"),
    ("POST", "/v1/executors/{name}/resume"): to_executor("resume"),
    ("PUT", "/v1/queues/{name}"): put_limits,
    ("POST", "/v1/queues/{name}/pause"): to_queue("pause"),
    ("POST", "/v1/queues/{name}/resume"): to_queue("resume"),
    ("PUT", "/v1/workflows/{name}"): put_workflow,
    ("PUT", "/v1/schedules/{name}"): put_schedule,
    ("DELETE", "/v1/schedules/{name}"): delete_schedule,
    ("POST", "/v1/schedules/{name}/run-now"): run_now,
}

# Every row with all that was decided; not when something was last said or seen.
STORED = (
    'SELECT id, "runState", version, fence, "leaseId", attempt, "stepIndex" FROM "workflowRuns"',
    'SELECT "runId", seq FROM "runEvents"',
    'SELECT "runId", "stepIndex", state, output::text FROM "workflowSteps"',
    'SELECT "tokenName", "requestId", "leaseIds" FROM "claimRequests"',
    'SELECT "fullName", session, state FROM executors',
    'SELECT name, paused, "maxConcurrency", "ratePerSecond", "maxConcurrencyPerKey" FROM queues',
    "SELECT name, version FROM workflows",
    'SELECT name, version FROM "currentWorkflows"',
    "SELECT name, cron FROM schedules",
)


def stored(face: Face) -> list[list[str]]:
    return [sorted(str(row) for row in face.sql(statement)) for statement in STORED]


def without(value: Any, names: tuple[str, ...]) -> Any:
    """An answer but for these members, wherever they stand."""
    if isinstance(value, dict):
        return {name: without(member, names) for name, member in value.items() if name not in names}
    return [without(item, names) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("method", "route"), sorted(CASES))
def test_a_request_that_is_sent_twice_is_done_once(face: Face, method: str, route: str) -> None:
    asked = CASES[method, route](face)
    headers = {"Idempotency-Key": str(uuid4())} if asked.keyed else {}
    before = stored(face)
    first, after_first, second = (
        face.send(asked.role, method, asked.path, asked.body, headers),
        stored(face),
        face.send(asked.role, method, asked.path, asked.body, headers),
    )

    assert first.status_code in (200, 201, 204), first.text
    assert second.status_code == (asked.then or first.status_code), second.text
    assert stored(face) == after_first
    # A new session is active already, and to resume it changes nothing.
    assert before != after_first or re.fullmatch(r"/v1/executors/.*/resume", asked.path)
    if asked.then in (None, 200) and first.data:
        told, again = (orjson.loads(answer.data) for answer in (first, second))
        assert without(again, asked.differs) == without(told, asked.differs)


def test_every_request_that_changes_something_is_sent_twice_here(face: Face) -> None:
    document = face.app.test_client().get("/openapi.json").json
    assert document is not None

    assert {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
        if method != "get"
    } == set(CASES)
    assert {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if operation.get("x-repeatable") == "idempotency-key" and path != "/v1/runs/batch"
    } == {case for case, prepared in CASES.items() if prepared(face).keyed}

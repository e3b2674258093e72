"""The exact bodies of api.md, member by member, from the real server over a socket."""

import re
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json, outcome_of
from tests.acceptance.waiting import eventually
from tests.contract.shapes import answer_schema, check_shape

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

# Of a run as it was created; api.md's own example, in its order.
NEW_RUN: Json = {
    "workflow": "refund",
    "workflowVersion": None,
    "runState": "pending",
    "priority": 0,
    "stepIndex": 0,
    "stepName": "refund",
    "input": {"orderId": 7},
    "output": None,
    "error": None,
    "attempt": 0,
    "failures": 0,
    "crashes": 0,
    "maxFailures": 3,
    "maxCrashes": 3,
    "fence": 0,
    "lockedBy": None,
    "lockedAt": None,
    "leaseExpiresAt": None,
    "waitingFor": None,
    "dedupKey": None,
    "abortRequestedAt": None,
    "createdBy": "client",
    "startedAt": None,
    "finishedAt": None,
}
RUN_MEMBERS = {*NEW_RUN, "id", "queue", "stepQueue", "availableAt", "createdAt"}
STEP_MEMBERS = {
    "index",
    "name",
    "type",
    "params",
    "input",
    "outputs",
    "resumed",
    "mutating",
    "timeoutSeconds",
    "idempotencyKey",
}


def held(holder: Client, web: Client, queue: str, **members: Any) -> Json:
    """A new run that the executor holds."""
    web.create(queue, "refund", **members)
    (dispatch,) = holder.claim(queue)
    return dispatch


def shown_anywhere(value: Any, text: str) -> bool:
    return text in str(value)


def test_a_run_as_it_was_created(web: Client, queue: str, document: Json) -> None:
    body = {
        "workflow": "refund",
        "input": {"orderId": 7},
        "queue": queue,
        "priority": 0,
        "availableAt": None,
        "dedupKey": None,
        "onConflict": "refuse",
        "concurrencyKey": None,
        "maxFailures": 3,
        "maxCrashes": 3,
        "traceparent": None,
    }
    answer = web.send("POST", "/v1/runs", body)

    run = answer.json()
    assert answer.status_code == 201
    assert run.keys() >= RUN_MEMBERS
    assert {name: run[name] for name in NEW_RUN} == NEW_RUN
    assert (run["queue"], run["stepQueue"]) == (queue, queue)
    assert UUID7.fullmatch(run["id"])
    assert TIME.fullmatch(run["createdAt"])
    assert TIME.fullmatch(run["availableAt"])
    assert "leaseId" not in run
    assert web.run(run["id"]) == run
    check_shape(document, answer_schema(document, "POST", "/v1/runs", 201), run)


def test_only_the_workflow_is_required(web: Client, ops: Client) -> None:
    answer = web.send("POST", "/v1/runs", {"workflow": "refund"})

    assert answer.status_code == 201
    run = answer.json()
    assert (run["queue"], run["input"]) == ("default", {})
    ops.ask("POST", f"/v1/runs/{run['id']}/abort", {})


def test_a_repeated_create_is_200_and_another_body_422(web: Client, queue: str) -> None:
    headers = {"Idempotency-Key": f"key of {queue}"}
    body = {"workflow": "refund", "queue": queue}

    answers = [web.send("POST", "/v1/runs", body, headers=headers) for _ in range(2)]
    other = web.send("POST", "/v1/runs", {**body, "priority": 1}, headers=headers)

    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json() == answers[1].json()
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert len(web.runs(queue, "pending")) == 1


def test_a_second_live_run_of_a_dedup_key_is_409_or_the_first(web: Client, queue: str) -> None:
    body = {"workflow": "refund", "queue": queue, "dedupKey": "order 7"}
    first = web.ask("POST", "/v1/runs", body)

    refused = web.send("POST", "/v1/runs", body)
    found = web.send("POST", "/v1/runs", {**body, "onConflict": "return"})

    assert (refused.status_code, refused.json()["code"]) == (409, "run-already-active")
    assert refused.json()["runId"] == first["id"]
    assert (found.status_code, found.json()["id"]) == (200, first["id"])


def test_a_batch_of_runs(web: Client, queue: str, document: Json) -> None:
    runs = [{"workflow": "refund", "queue": queue, "idempotencyKey": f"{queue}-{n}"} for n in "ab"]
    web.ask("POST", "/v1/runs/batch", {"runs": runs[:1]})

    answer = web.send("POST", "/v1/runs/batch", {"runs": runs})
    with_header = web.send(
        "POST", "/v1/runs/batch", {"runs": runs}, headers={"Idempotency-Key": "x"}
    )

    created = answer.json()["runs"]
    assert answer.status_code == 201
    assert [one.keys() for one in created] == [{"id", "runState", "created"}] * 2
    assert [(one["runState"], one["created"]) for one in created] == [
        ("pending", False),
        ("pending", True),
    ]
    assert with_header.status_code == 400
    check_shape(document, answer_schema(document, "POST", "/v1/runs/batch", 201), answer.json())


def test_a_page_of_runs_newest_first(web: Client, queue: str, document: Json) -> None:
    ids = web.create_many(queue, 5)

    first = web.ask("GET", f"/v1/runs?state=pending,failed&queue={queue}&workflow=record&limit=3")
    second = web.ask(
        "GET",
        f"/v1/runs?state=pending,failed&queue={queue}&workflow=record&limit=3"
        f"&cursor={first['nextCursor']}",
    )

    assert first.keys() == {"items", "nextCursor"}
    shown = [run["id"] for run in (*first["items"], *second["items"])]
    assert shown == ids[::-1]
    assert second["nextCursor"] is None
    check_shape(document, answer_schema(document, "GET", "/v1/runs", 200), first)


def test_events_and_steps_of_a_run(web: Client, holder: Client, queue: str, document: Json) -> None:
    dispatch = held(holder, web, queue)
    run_id, lease_id = dispatch["run"]["id"], dispatch["lease"]["id"]
    holder.report(outcome_of(dispatch, {"status": "success", "output": {"a": 1}}))

    events = web.ask("GET", f"/v1/runs/{run_id}/events")
    steps = web.ask("GET", f"/v1/runs/{run_id}/steps")

    first = events["items"][0]
    assert {name: first[name] for name in ("seq", "kind", "fromState", "toState", "fence")} == {
        "seq": 1,
        "kind": "created",
        "fromState": None,
        "toState": "pending",
        "fence": None,
    }
    assert (first["executor"], first["actor"]) == (None, "client")
    assert TIME.fullmatch(first["at"])
    assert [event["seq"] for event in events["items"]] == [1, 2, 3]
    (step,) = steps["items"]
    assert step.keys() == {
        "stepIndex",
        "name",
        "type",
        "state",
        "output",
        "error",
        "startedAt",
        "finishedAt",
    }
    assert (step["stepIndex"], step["state"], step["output"]) == (0, "finished", {"a": 1})
    assert not shown_anywhere(events, lease_id)
    assert not shown_anywhere(web.run(run_id), lease_id)
    for path, answer in (("events", events), ("steps", steps)):
        schema = answer_schema(document, "GET", f"/v1/runs/{{run_id}}/{path}", 200)
        check_shape(document, schema, answer)


def test_why_a_run_does_not_execute(web: Client, ops: Client, queue: str, document: Json) -> None:
    run_id = web.create(queue)
    ops.ask("POST", f"/v1/queues/{queue}/pause", {})

    explanation = web.ask("GET", f"/v1/runs/{run_id}/explain")

    assert explanation.keys() == {"runState", "executing", "reason", "text", "gates"}
    assert (explanation["runState"], explanation["executing"]) == ("pending", False)
    assert explanation["reason"] == "queue-paused"
    assert explanation["text"].startswith(f"Queue {queue} is paused: operator paused it at ")
    assert all(gate.keys() == {"gate", "open", "text"} for gate in explanation["gates"])
    assert [gate["gate"] for gate in explanation["gates"] if not gate["open"]] == [
        "queue-paused", "not-served"
    ]  # fmt: skip
    schema = answer_schema(document, "GET", "/v1/runs/{run_id}/explain", 200)
    check_shape(document, schema, explanation)


def test_a_claim_and_its_replay(web: Client, holder: Client, queue: str, document: Json) -> None:
    run_id = web.create(queue, "refund", input={"orderId": 7})
    body = holder.claim_body(queue, limit=8, executor="one")

    answer = holder.ask("POST", "/v1/claims", body)
    again = holder.ask("POST", "/v1/claims", body)
    other = holder.send("POST", "/v1/claims", {**body, "limit": 9})

    assert answer.keys() == {"dispatches", "nextPollAfterMs", "replayed", "outOfService"}
    assert answer["replayed"] is False
    (dispatch,) = answer["dispatches"]
    assert dispatch.keys() == {"run", "step", "lease"}
    assert dispatch["run"].keys() == web.run(run_id).keys()
    assert dispatch["run"]["lockedBy"] == "executor:one"
    assert (dispatch["run"]["runState"], dispatch["run"]["attempt"]) == ("loading", 1)
    assert dispatch["step"].keys() == STEP_MEMBERS
    assert dispatch["step"] == {
        "index": 0,
        "name": "refund",
        "type": "refund",
        "params": {},
        "input": {"orderId": 7},
        "outputs": {},
        "resumed": False,
        "mutating": False,
        "timeoutSeconds": None,
        "idempotencyKey": f"{run_id}:0",
    }
    assert dispatch["lease"].keys() == {"id", "fence", "expiresAt", "seconds"}
    assert dispatch["lease"]["seconds"] == 30
    assert dispatch["lease"]["fence"] == dispatch["run"]["fence"] > 1_763_000_000_000
    assert TIME.fullmatch(dispatch["lease"]["expiresAt"])
    assert again["replayed"] is True
    assert again["dispatches"][0]["lease"]["id"] == dispatch["lease"]["id"]
    assert (other.status_code, other.json()["code"]) == (422, "request-id-reused")
    check_shape(document, answer_schema(document, "POST", "/v1/claims", 200), answer)


def test_a_claim_that_found_nothing(holder: Client, queue: str) -> None:
    answer = holder.ask("POST", "/v1/claims", holder.claim_body(queue))

    assert (answer["dispatches"], answer["replayed"]) == ([], False)
    assert answer["nextPollAfterMs"] >= 0


def test_a_claim_by_id_and_its_refusals(
    web: Client, holder: Client, ops: Client, queue: str, document: Json
) -> None:
    run_id = web.create(queue, "refund")
    path = f"/v1/runs/{run_id}/claim"

    def body(**members: Any) -> Json:
        return {
            "session": str(uuid4()),
            "requestId": str(uuid4()),
            "leaseSeconds": 30,
            **members,
        }

    dispatch = holder.ask("POST", path, body())
    held_by = holder.send("POST", path, body())
    holder.report(outcome_of(dispatch, {"status": "awaiting-input", "waitingFor": {"schema": {}}}))
    needs_input = holder.send("POST", path, body())
    resumed = holder.ask("POST", path, body(input={"yes": True}))
    holder.report(outcome_of(resumed, {"status": "success"}))
    over = holder.send("POST", path, body())
    not_due = web.create(queue, availableAt="2999-01-01T00:00:00.000Z")
    early = holder.send("POST", f"/v1/runs/{not_due}/claim", body())
    paused = web.create(queue)
    ops.ask("POST", f"/v1/queues/{queue}/pause", {})
    shut = holder.send("POST", f"/v1/runs/{paused}/claim", body())

    assert {"run", "step", "lease"} <= dispatch.keys()
    assert (held_by.status_code, held_by.json()["code"]) == (409, "run-held")
    assert 1 <= int(held_by.headers["Retry-After"]) <= 30
    assert datetime.fromisoformat(held_by.json()["leaseExpiresAt"])
    assert not shown_anywhere(held_by.text, dispatch["lease"]["id"])
    assert resumed["step"]["resumed"] is True
    assert resumed["step"]["input"] == {"yes": True}
    assert (over.status_code, over.json()["code"]) == (410, "run-over")
    for answer, gate in ((needs_input, "needs-input"), (early, "due-time"), (shut, "queue-paused")):
        assert (answer.status_code, answer.json()["code"]) == (409, "run-not-claimable")
        assert answer.json()["gate"] == gate
    schema = answer_schema(document, "POST", "/v1/runs/{run_id}/claim", 200)
    check_shape(document, schema, dispatch)


def test_a_claim_on_behalf_of_a_caller(
    web: Client, holder: Client, callers: dict[Role, Client], stage: Any, queue: str
) -> None:
    run_id = web.create(queue)
    body = {"session": str(uuid4()), "requestId": str(uuid4()), "leaseSeconds": 30}

    def ask(token: str) -> Any:
        headers = {"Dibs-On-Behalf-Of": f"Bearer {token}"}
        return holder.send("POST", f"/v1/runs/{run_id}/claim", body, headers=headers)

    refused = ask(stage.tokens[Role.VIEWER])
    stranger = ask("dibs_0123456789abcdef_nobody")
    granted = ask(stage.tokens[Role.CLIENT])

    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient-scope")
    assert (stranger.status_code, stranger.json()["code"]) == (401, "unauthenticated")
    assert granted.status_code == 200


def test_renewals(web: Client, holder: Client, queue: str, document: Json) -> None:
    first, second = held(holder, web, queue), held(holder, web, queue)
    foreign = str(uuid4())
    web.ask("POST", f"/v1/runs/{second['run']['id']}/abort", {"reason": "enough"})

    answer = holder.ask(
        "POST",
        "/v1/leases/renew",
        {
            "session": str(uuid4()),
            "leases": [
                {
                    "leaseId": first["lease"]["id"],
                    "runId": first["run"]["id"],
                    "progress": {"n": 1},
                },
                {"leaseId": second["lease"]["id"], "runId": second["run"]["id"]},
                {"leaseId": foreign, "runId": first["run"]["id"]},
            ],
            "claiming": [str(uuid4())],
            "asOf": None,
        },
    )

    assert answer.keys() == {
        "renewed",
        "lost",
        "abort",
        "released",
        "orphansKept",
        "serverTime",
    }
    assert [one.keys() for one in answer["renewed"]] == [{"leaseId", "expiresAt"}] * 2
    assert {one["leaseId"] for one in answer["renewed"]} == {
        first["lease"]["id"],
        second["lease"]["id"],
    }
    assert answer["lost"] == [foreign]
    assert answer["abort"] == [second["lease"]["id"]]
    assert answer["released"] == []
    assert TIME.fullmatch(answer["serverTime"])
    check_shape(document, answer_schema(document, "POST", "/v1/leases/renew", 200), answer)


def test_orphans_are_released_by_a_renewal_that_does_not_name_them(
    web: Client, holder: Client, queue: str
) -> None:
    session = str(uuid4())
    run_id = web.create(queue)
    body: Json = {"session": session, "leases": [], "claiming": [], "asOf": None}
    holder.claim(queue, session=session)
    server_time = holder.ask("POST", "/v1/leases/renew", body)["serverTime"]

    answer = holder.ask("POST", "/v1/leases/renew", {**body, "asOf": server_time})

    assert answer["released"] == [run_id]
    assert web.run(run_id)["runState"] == "pending"


def test_releases(web: Client, holder: Client, queue: str, document: Json) -> None:
    dispatch = held(holder, web, queue)
    run_id, gone = dispatch["run"]["id"], str(uuid4())

    answer = holder.ask(
        "POST",
        "/v1/leases/release",
        {
            "session": str(uuid4()),
            "leases": [
                {"leaseId": dispatch["lease"]["id"], "runId": run_id},
                {"leaseId": gone, "runId": run_id},
            ],
            "reason": "draining",
        },
    )

    assert answer == {"released": [run_id], "lost": [gone]}
    assert web.run(run_id)["runState"] == "pending"
    check_shape(document, answer_schema(document, "POST", "/v1/leases/release", 200), answer)


LATER = {"status": "later", "availableAt": "2999-01-01T00:00:00.000Z"}


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ({"status": "success", "output": {"done": True}}, "finished"),
        ({"status": "error", "message": "no luck", "retryable": True}, "scheduled"),
        ({"status": "error", "message": "no luck", "retryable": False}, "failed"),
        ({"status": "awaiting-input", "waitingFor": {"schema": {"type": "object"}}}, "waiting"),
        (
            {
                "status": "awaiting-input",
                "waitingFor": {"schema": {}, "timeoutSeconds": 60, "onTimeout": "fail"},
            },
            "waiting",
        ),
        (LATER, "scheduled"),
    ],
)
def test_a_report_its_replay_and_its_conflict(
    web: Client, holder: Client, queue: str, document: Json, outcome: Json, status: str
) -> None:
    dispatch = held(holder, web, queue)
    run_id = dispatch["run"]["id"]
    body = {
        "session": str(uuid4()),
        "chain": True,
        "reports": [outcome_of(dispatch, outcome)],
    }

    answer = holder.ask("POST", "/v1/reports", body)
    again = holder.ask("POST", "/v1/reports", body)
    (other,) = holder.report(outcome_of(dispatch, {"status": "error", "message": "other"}))

    plain = {"runId": run_id, "status": status, "next": None, "replayed": False, "problem": None}
    assert answer == {"results": [plain]}
    assert again == {"results": [{**plain, "replayed": True}]}
    assert (other["status"], other["problem"]["code"]) == ("refused", "outcome-conflict")
    assert other["problem"]["status"] == 409
    run = web.run(run_id)
    assert (run["runState"], run["leaseExpiresAt"]) == (status, None)
    if status == "waiting":
        assert run["waitingFor"] == {"reason": "input", **outcome["waitingFor"]}
    if status == "failed":
        assert run["error"] == {"code": "step-failed", "message": "no luck", "stepIndex": 0}
    check_shape(document, answer_schema(document, "POST", "/v1/reports", 200), answer)
    check_shape(document, answer_schema(document, "POST", "/v1/reports", 200), {"results": [other]})


def test_a_begun_mutating_step_and_how_it_is_resolved(
    web: Client, holder: Client, ops: Client, queue: str
) -> None:
    dispatch = held(holder, web, queue)
    run_id = dispatch["run"]["id"]
    path = f"/v1/runs/{run_id}/steps/0/start"
    body = {"leaseId": dispatch["lease"]["id"], "session": str(uuid4())}

    started = [holder.ask("POST", path, body) for _ in range(2)]
    lost = holder.send("POST", path, {**body, "leaseId": str(uuid4())})
    (reported,) = holder.report(outcome_of(dispatch, {"status": "unknown", "message": "who knows"}))
    waiting = web.run(run_id)
    resumed = web.send("POST", f"/v1/runs/{run_id}/resume", {"input": {}})
    resolved = ops.ask("POST", f"/v1/runs/{run_id}/resolve", {"as": "done", "output": {"ok": 1}})

    assert started == [{"started": True}] * 2
    assert (lost.status_code, lost.json()["code"]) == (409, "lease-lost")
    assert reported["status"] == "waiting"
    assert waiting["waitingFor"]["reason"] == "outcome-unknown"
    assert resumed.status_code == 409
    assert (resolved["runState"], resolved["output"]) == ("finished", {"ok": 1})


def test_acts_are_repeatable_with_a_key_and_compare_and_set_without(
    web: Client, holder: Client, queue: str
) -> None:
    dispatch = held(holder, web, queue)
    run_id = dispatch["run"]["id"]
    holder.report(outcome_of(dispatch, {"status": "error", "message": "no", "retryable": False}))
    path, key = f"/v1/runs/{run_id}/retry", {"Idempotency-Key": f"again {queue}"}

    answers = [web.send("POST", path, {}, headers=key) for _ in range(2)]
    without = web.send("POST", path, {})
    aborted = [web.send("POST", f"/v1/runs/{run_id}/abort", {"reason": "x"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["failures"] == 0
    assert without.status_code == 409
    assert [answer.status_code for answer in aborted] == [200, 410]
    assert aborted[0].json()["runState"] == "aborted"
    assert web.kinds(run_id).count("retried") == 1


def test_whoami(stage: Any, holder: Client, web: Client, document: Json) -> None:
    mine = web.ask("GET", "/v1/whoami")
    headers = {"Dibs-On-Behalf-Of": f"Bearer {stage.tokens[Role.CLIENT]}"}
    theirs = holder.send("GET", "/v1/whoami", headers=headers)
    by_a_client = web.send("GET", "/v1/whoami", headers=headers)

    assert mine == {"name": "client", "role": "client", "queues": ["*"], "expiresAt": None}
    assert theirs.json() == mine
    assert by_a_client.status_code == 403
    check_shape(document, answer_schema(document, "GET", "/v1/whoami", 200), mine)


def test_executors_and_queues(
    holder: Client, ops: Client, web: Client, queue: str, document: Json
) -> None:
    instance, session = f"i-{queue}", str(uuid4())
    registered = holder.ask(
        "PUT",
        f"/v1/executors/{instance}",
        {
            "session": session,
            "version": "1.0",
            "slots": 4,
            "queues": [queue],
            "stepTypes": ["refund"],
            "labels": {"zone": "a"},
            "url": "http://127.0.0.1:3400",
            "replaces": None,
        },
    )
    web.create(queue)
    executors = ops.ask("GET", "/v1/executors")
    (shown,) = [one for one in executors["items"] if one["session"] == session]
    name = f"executor:{instance}"

    drained = ops.ask("POST", f"/v1/executors/{name}/drain", {})
    nothing = holder.claim(queue, session=session, executor=instance)
    ops.ask("POST", f"/v1/executors/{name}/resume", {})
    paused = ops.ask("POST", f"/v1/queues/{queue}/pause", {})
    # What was counted a moment ago may be told for a moment.
    eventually(lambda: shown_queue(ops, queue)["depth"]["pending"] == 1)
    queues = ops.ask("GET", "/v1/queues")
    depth = shown_queue(ops, queue)

    assert registered["name"] == shown["name"] == name
    assert (shown["slots"], shown["queues"], shown["labels"]) == (4, [queue], {"zone": "a"})
    assert drained["items"][0]["state"] == "draining"
    assert nothing == []
    assert paused == {"name": queue, "paused": True}
    assert (depth["paused"], depth["depth"]["pending"], depth["executors"]) == (True, 1, 1)
    assert depth["oldestPendingSeconds"] >= 0
    assert (depth["capped"], depth["gated"], depth["leasesExpired"]) == ([], 0, 0)
    # One run keeps one of its slots busy at most; nothing is claimed while it is paused.
    assert (depth["slots"], depth["slotsBusy"], depth["wantedExecutors"]) == (4, 0, 0)
    check_shape(document, answer_schema(document, "GET", "/v1/executors", 200), executors)
    check_shape(document, answer_schema(document, "GET", "/v1/queues", 200), queues)


def shown_queue(ops: Client, queue: str) -> Json:
    (shown,) = [one for one in ops.ask("GET", "/v1/queues")["items"] if one["name"] == queue]
    return shown


def test_the_limits_of_a_queue(
    ops: Client, web: Client, holder: Client, queue: str, document: Json
) -> None:
    limits = {"maxConcurrency": 2, "ratePerSecond": 1000, "maxConcurrencyPerKey": 3}
    put = ops.ask("PUT", f"/v1/queues/{queue}", limits)
    for _ in range(3):
        web.create(queue)

    first, second = holder.claim(queue, limit=3), holder.claim(queue)
    shown = shown_queue(ops, queue)
    none = ops.ask("PUT", f"/v1/queues/{queue}", {"maxConcurrency": None})

    assert (len(first), len(second)) == (2, 0)
    assert {name: put[name] for name in limits} == limits
    assert {name: shown[name] for name in limits} == limits
    assert {none[name] for name in limits} == {None}
    assert len(holder.claim(queue)) == 1
    check_shape(document, answer_schema(document, "PUT", "/v1/queues/{name}", 200), put)


def test_a_run_that_waits_for_its_concurrency_key(web: Client, holder: Client, queue: str) -> None:
    first, second = (web.create(queue, concurrencyKey="customer-7") for _ in range(2))

    (dispatch,) = holder.claim(queue, limit=5)
    refused = holder.send(
        "POST",
        f"/v1/runs/{second}/claim",
        {"session": str(uuid4()), "requestId": str(uuid4()), "leaseSeconds": 30},
    )

    assert dispatch["run"]["id"] == first
    assert dispatch["run"]["concurrencyKey"] == "customer-7"
    assert (refused.status_code, refused.json()["gate"]) == (409, "limit")


def test_a_problem_document(web: Client, document: Json) -> None:
    nobodys = str(uuid4())
    answer = web.send("GET", f"/v1/runs/{nobodys}", headers={"X-Request-Id": "mine-1"})

    problem = answer.json()
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance", "code", "requestId"} <= problem.keys()
    assert problem["type"].endswith("/problems/run-not-found")
    assert (problem["status"], problem["code"]) == (404, "run-not-found")
    assert problem["instance"].endswith(f"/v1/runs/{nobodys}")
    assert problem["requestId"] == answer.headers["X-Request-Id"] == "mine-1"
    schema = answer_schema(document, "GET", "/v1/runs/{run_id}", 404)
    check_shape(document, schema, problem)


def test_a_schema_error_names_every_bad_item(holder: Client) -> None:
    report = {
        "leaseId": str(uuid4()),
        "runId": str(uuid4()),
        "stepIndex": 0,
        "outcome": {"status": "success"},
    }
    body = {"session": str(uuid4()), "reports": [report, {**report, "outcome": 1}, {}]}

    answer = holder.send("POST", "/v1/reports", body)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation")
    paths = {error["path"] for error in answer.json()["errors"]}
    assert {"/reports/1/outcome", "/reports/2/leaseId", "/reports/2/outcome"} <= paths
    assert all(error.keys() == {"path", "message"} for error in answer.json()["errors"])


def test_every_answer_has_a_request_id(nobody: Client, web: Client) -> None:
    answers = [
        nobody.send("GET", "/healthz"),
        nobody.send("GET", "/v1/runs"),
        web.send("GET", "/x"),
    ]

    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", one) for one in ids)

"""The exact bodies of workflows, chained steps and schedules, from the real server."""

from typing import Any

import msgspec

from executor.wire import Dispatch
from tests.acceptance.client import Client, Json, outcome_of
from tests.contract.shapes import answer_schema, check_shape

STEP: Json = {
    "name": "check",
    "type": "check-order",
    "params": {},
    "uses": [],
    "next": ["pay", "refuse"],
    "timeoutSeconds": 30,
    "retry": {
        "maxFailures": 3,
        "backoffSeconds": 2,
        "backoffFactor": 2,
        "maxBackoffSeconds": 300,
    },
    "mutating": False,
    "queue": None,
}
# api.md's own example, with the steps that it names.
DEFINITION = {
    "steps": [STEP, {"name": "pay", "type": "pay-back"}, {"name": "refuse", "type": "send-mail"}]
}


def success(**members: Any) -> Json:
    return {"status": "success", "output": {"ok": True}, **members}


def test_a_definition(ops: Client, queue: str, document: Json) -> None:
    name = f"workflow-of-{queue}"

    put = ops.ask("PUT", f"/v1/workflows/{name}", DEFINITION)
    again = ops.ask("PUT", f"/v1/workflows/{name}", DEFINITION)
    shown = ops.ask("GET", f"/v1/workflows/{name}")
    listed = ops.ask("GET", "/v1/workflows")

    assert (put["name"], put["version"], again["version"]) == (name, 1, 1)
    assert [warning.split(":")[0] for warning in put["warnings"]] == [
        "step check",
        "step pay",
        "step refuse",
    ]
    assert STEP.items() <= shown["definition"]["steps"][0].items()
    assert name in [one["name"] for one in listed["items"]]
    check_shape(document, answer_schema(document, "PUT", "/v1/workflows/{name}", 200), put)
    check_shape(document, answer_schema(document, "GET", "/v1/workflows/{name}", 200), shown)
    check_shape(document, answer_schema(document, "GET", "/v1/workflows", 200), listed)


def test_a_chained_step_is_a_dispatch_that_the_executor_reads(
    ops: Client, web: Client, holder: Client, queue: str, document: Json
) -> None:
    name = f"workflow-of-{queue}"
    ops.ask("PUT", f"/v1/workflows/{name}", DEFINITION)
    run_id = web.create(queue, name)
    (dispatch,) = holder.claim(queue)

    (result,) = holder.report(outcome_of(dispatch, success(next="pay")))

    following = result["next"]
    check_shape(
        document,
        answer_schema(document, "POST", "/v1/claims", 200),
        {
            "dispatches": [following],
            "nextPollAfterMs": 0,
            "replayed": False,
            "outOfService": None,
        },
    )
    check_shape(
        document, answer_schema(document, "POST", "/v1/reports", 200), {"results": [result]}
    )
    assert (dispatch["run"]["workflowVersion"], dispatch["step"]["type"]) == (1, "check-order")
    assert (result["status"], following["step"]["idempotencyKey"]) == ("continue", f"{run_id}:1")
    read = msgspec.convert(following, Dispatch)
    assert (read.step.name, read.step.type, read.step.outputs) == (
        "pay",
        "pay-back",
        {"check": {"ok": True}},
    )


def test_a_schedule(ops: Client, queue: str, document: Json) -> None:
    path = f"/v1/schedules/nightly-{queue}"
    body = {
        "workflow": "report",
        "cron": "30 2 * * *",
        "timeZone": "Europe/Berlin",
        "input": {"a": 1},
        "queue": queue,
        "overlap": "skip",
        "paused": False,
    }

    put = ops.ask("PUT", path, body)
    shown = ops.ask("GET", path)
    listed = ops.ask("GET", "/v1/schedules")
    made = ops.ask("POST", f"{path}/run-now", {})
    deleted = ops.send("DELETE", path)

    assert put == shown
    assert body.items() <= shown.items()
    assert ops.run(made["runId"])["createdBy"] == f"schedule:nightly-{queue}"
    assert (deleted.status_code, deleted.content) == (204, b"")
    route = "/v1/schedules/{name}"
    check_shape(document, answer_schema(document, "PUT", route, 200), put)
    check_shape(document, answer_schema(document, "GET", "/v1/schedules", 200), listed)
    check_shape(document, answer_schema(document, "POST", f"{route}/run-now", 200), made)
    ops.ask("POST", f"/v1/runs/{made['runId']}/abort", {})


def test_an_operator_says_how_a_step_of_unknown_outcome_goes_on(
    ops: Client, web: Client, holder: Client, queue: str, document: Json
) -> None:
    name = f"workflow-of-{queue}"
    steps = [STEP | {"mutating": True}, *DEFINITION["steps"][1:]]
    ops.ask("PUT", f"/v1/workflows/{name}", {"steps": steps})
    run_id = web.create(queue, name)
    (dispatch,) = holder.claim(queue)
    holder.report(outcome_of(dispatch, {"status": "unknown", "message": "it hung up"}))

    path = f"/v1/runs/{run_id}/resolve"
    unsaid = ops.send("POST", path, {"as": "done", "output": {}})
    run = ops.ask("POST", path, {"as": "done", "output": {}, "next": "refuse"})

    assert (unsaid.status_code, unsaid.json()["code"]) == (409, "state-conflict")
    assert (run["runState"], run["stepName"], run["stepIndex"]) == ("pending", "refuse", 1)
    check_shape(document, answer_schema(document, "POST", "/v1/runs/{run_id}/resolve", 200), run)

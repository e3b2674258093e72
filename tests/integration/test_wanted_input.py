"""What a run waits for, as a JSON schema: what fits, what does not, and what is no schema."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import orjson
import pytest
from sqlalchemy import event

from tests.integration.approvals import (
    APPROVAL,
    EITHER_DOOR,
    Door,
    at_approval,
)
from tests.integration.face import Face, problem


@EITHER_DOOR
@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({}, "/input"),
        ({"approved": "yes"}, "/input/approved"),
        ({"approved": True, "by": ""}, "/input/by"),
        ({"approved": True, "x": 1}, "/input"),
        (None, "/input"),
        ([], "/input"),
    ],
)
def test_input_that_does_not_fit_is_refused_by_name_and_changes_nothing(
    face: Face, approval: str, door: Door, value: Any, path: str
) -> None:
    run_id = at_approval(face, approval, schema=APPROVAL)["run"]["id"]
    before, events = face.row(run_id), face.events(run_id)

    answer = door(face, run_id, value)

    assert problem(answer) == (422, "validation")
    assert [error["path"] for error in orjson.loads(answer.data)["errors"]] == [path]
    assert (face.row(run_id), face.events(run_id)) == (before, events)
    assert (
        face.sql(
            'SELECT FROM "claimRequests" WHERE %s = ANY ("runIds") AND at > (SELECT max(at)'
            ' FROM "runEvents" WHERE "runId" = %s)',
            run_id,
            run_id,
        )
        == []
    )
    assert door(face, run_id, {"approved": False}).status_code == 200


def test_a_refused_claim_with_input_can_be_asked_again_under_its_request_id(
    face: Face, approval: str
) -> None:
    run_id = at_approval(face, approval, schema=APPROVAL)["run"]["id"]
    request = "00000000-0000-4000-8000-0000000000a1"
    assert face.claim_run(run_id, input={}, requestId=request).status_code == 422

    answer = face.claim_run(run_id, input={"approved": True}, requestId=request)

    assert answer.status_code == 200
    assert face.claim_run(run_id, input={}, requestId=request).status_code == 422


@pytest.mark.parametrize("schema", [None, True, {}])
def test_without_a_schema_anything_fits(face: Face, approval: str, schema: Any) -> None:
    values: list[Any] = [None, 1, "x", [], {"a": 2**70}]
    for value in values:
        waiting_for = {} if schema is None else {"schema": schema}
        run_id = at_approval(face, approval, **waiting_for)["run"]["id"]

        assert face.resume(run_id, value).status_code == 200
        again = face.hold(run_id)
        assert (again["step"]["input"], again["step"]["resumed"]) == (value, True)


def test_a_schema_that_refers_to_its_own_parts_is_one(face: Face, approval: str) -> None:
    schema = {"$ref": "#/$defs/answer", "$defs": {"answer": APPROVAL}}
    run_id = at_approval(face, approval, schema=schema)["run"]["id"]

    assert face.resume(run_id, {}).status_code == 422
    assert face.resume(run_id, {"approved": True}).status_code == 200


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (5, "neither an object"),
        ("object", "neither an object"),
        ('{"type": "object"}', "neither an object"),
        ([], "neither an object"),
        ({"type": "objekt"}, "objekt"),
        ({"required": "approved"}, "approved"),
        ({"pattern": "("}, "regex"),
        ({"minLength": -1}, "-1"),
        ({"$ref": "#/$defs/gone"}, "/$defs/gone"),
        ({"properties": {"a": {"$ref": "http://127.0.0.1:1/schema"}}}, "http://127.0.0.1:1/schema"),
        ({"$ref": "file:///etc/passwd"}, "file:///etc/passwd"),
    ],
)
def test_a_bad_schema_in_a_report_is_that_items_fault_alone(
    face: Face, schema: Any, words: str
) -> None:
    bad, good = face.dispatch("plain"), face.dispatch("plain")
    waiting = {"status": "awaiting-input", "waitingFor": {"schema": schema}}

    refused, stored = face.tell((bad, waiting), (good, {"status": "success"}))

    assert (refused["status"], refused["problem"]["status"]) == ("refused", 422)
    assert refused["problem"]["code"] == "validation"
    assert "/reports/0/outcome/waitingFor/schema" in refused["problem"]["detail"]
    assert words in refused["problem"]["detail"]
    assert stored["status"] == "finished"
    assert face.state(bad["run"]["id"])[0] == "loading"
    assert face.succeed(bad)["status"] == "finished"


def test_a_schema_that_refers_to_itself_comes_to_an_end(face: Face, approval: str) -> None:
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    run_id = at_approval(face, approval, schema=schema)["run"]["id"]

    assert face.resume(run_id, {}).status_code in (200, 422)


def test_a_pattern_that_never_ends_comes_to_an_end(face: Face, approval: str) -> None:
    """Thirty letters would take a backtracking engine minutes."""
    run_id = at_approval(face, approval, schema={"pattern": "^(a+)+$"})["run"]["id"]

    assert problem(face.resume(run_id, "a" * 30 + "!")) == (422, "validation")


def test_no_schema_makes_the_orchestrator_fetch_anything(face: Face, approval: str) -> None:
    """Not even one that came past the report's check."""
    asked: list[str] = []

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

    server = HTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        run_id = at_approval(face, approval, schema={})["run"]["id"]
        schema = {"$ref": f"http://127.0.0.1:{server.server_port}/secret"}
        face.sql(
            """UPDATE "workflowRuns" SET "waitingFor" = "waitingFor" || %s WHERE id = %s""",
            orjson.dumps({"schema": schema}).decode(),
            run_id,
        )

        answer = face.resume(run_id, {})
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert (answer.status_code == 200, asked) == (False, [])
    assert face.state(run_id)[0] == "waiting"


@EITHER_DOOR
def test_input_checked_against_an_older_question_does_not_answer_the_next(
    face: Face, approval: str, door: Door
) -> None:
    """Whoever is overtaken between the check and the lock is refused."""
    dispatch = at_approval(face, approval, schema={"const": 1})
    run_id = dispatch["run"]["id"]
    database = face.services.database
    overtaken: list[bool] = []

    def overtake(_connection: object, _cursor: object, text: str, *_: object) -> None:
        if "FOR UPDATE" in text and not overtaken:
            overtaken.append(True)
            again = face.hold(run_id, input=1)
            face.await_input(again, schema={"const": 2})

    event.listen(database.work, "before_cursor_execute", overtake)
    try:
        answer = door(face, run_id, 1)
    finally:
        event.remove(database.work, "before_cursor_execute", overtake)

    assert overtaken == [True]
    assert answer.status_code in (409, 422)
    run = face.run(run_id)
    assert (run["runState"], run["waitingFor"]["schema"]) == ("waiting", {"const": 2})

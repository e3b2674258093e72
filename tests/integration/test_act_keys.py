"""The key of an act belongs to one body: whoever asks for something else by it is told so."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.lifecycle import Role
from tests.integration.charges import unknown
from tests.integration.face import Face, fresh_name, problem

Json = dict[str, Any]

KEY = {"Idempotency-Key": "k"}


def act(face: Face, run_id: str, name: str, body: Json) -> Any:
    return face.send(Role.OPERATOR, "POST", f"/v1/runs/{run_id}/{name}", body, KEY)


RESOLVED: list[tuple[Json, Json]] = [
    ({"as": "run-again"}, {"as": "abort"}),
    ({"as": "done", "output": 1}, {"as": "done", "output": 2}),
    ({"as": "done"}, {"as": "done", "next": "tell"}),
]


@pytest.mark.parametrize(("first", "other"), RESOLVED)
def test_another_resolve_under_the_same_key_is_refused(
    face: Face, charge: str, first: Json, other: Json
) -> None:
    run_id = unknown(face, charge)["run"]["id"]
    assert act(face, run_id, "resolve", first).status_code == 200
    before = face.row(run_id)

    repeat, refused = (act(face, run_id, "resolve", body) for body in (first, other))

    assert repeat.status_code == 200
    assert problem(refused) == (422, "idempotency-key-reused")
    assert face.row(run_id) == before
    assert face.events(run_id)[-1]["detail"]["as"] == first["as"]


def test_another_input_under_the_same_key_is_refused(face: Face) -> None:
    run_id = face.waiting(fresh_name("plain"))["run"]["id"]
    first = {"input": {"a": 1, "b": [1.5]}}
    assert act(face, run_id, "resume", first).status_code == 200

    repeat = act(face, run_id, "resume", {"input": {"b": [1.5], "a": 1}})
    refused = act(face, run_id, "resume", {"input": {"a": 2, "b": [1.5]}})

    assert repeat.status_code == 200
    assert problem(refused) == (422, "idempotency-key-reused")
    assert face.row(run_id)["resumeInput"] == first["input"]


def test_another_reason_under_the_same_key_is_refused(face: Face) -> None:
    run_id = face.create(fresh_name("plain"))["id"]
    assert act(face, run_id, "abort", {"reason": "wrong"}).status_code == 200

    assert act(face, run_id, "abort", {"reason": "wrong"}).status_code == 200
    refused = act(face, run_id, "abort", {"reason": "late"})
    assert problem(refused) == (422, "idempotency-key-reused")


def test_a_key_of_before_hashes_were_kept_belongs_to_any_body(face: Face, charge: str) -> None:
    run_id = unknown(face, charge)["run"]["id"]
    act(face, run_id, "resolve", {"as": "run-again"})
    face.sql('ALTER TABLE "runEvents" DISABLE TRIGGER USER')
    face.sql("""UPDATE "runEvents" SET detail = detail - 'bodyHash' WHERE "runId" = %s""", run_id)
    face.sql('ALTER TABLE "runEvents" ENABLE TRIGGER USER')

    assert act(face, run_id, "resolve", {"as": "abort"}).status_code == 200
    assert face.state(run_id)[0] == "pending"

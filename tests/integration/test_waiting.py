"""Waiting for input: what is wanted, who may bring it, and what happens when nobody does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

import psycopg
import pytest

from tests.database import Database
from tests.integration.approvals import (
    APPROVAL,
    EITHER_DOOR,
    Door,
    at_approval,
    by_claim,
    by_resume,
)
from tests.integration.face import Face, step
from tests.integration.racing import at_once


@pytest.fixture(scope="module")
def crowded(face: Face, module_database: Database) -> Iterator[Face]:
    """An orchestrator that serves 64 requests at once."""
    with (
        closing(psycopg.connect(module_database.owner_url, autocommit=True)) as owner,
        closing(Face(module_database, owner, connections=40, tokens=face.tokens)) as crowded,
    ):
        yield crowded


def test_what_a_run_waits_for_is_shown(face: Face, approval: str) -> None:
    wanted = {"schema": APPROVAL, "timeoutSeconds": 60, "onTimeout": {"next": "refuse"}}
    run_id = at_approval(face, approval, **wanted)["run"]["id"]

    run = face.run(run_id)

    assert run["waitingFor"] == {"reason": "input", **wanted}
    assert (run["runState"], run["stepName"], run["lockedBy"]) == ("waiting", "approve", None)
    assert face.steps(run_id)[-1]["state"] == "waiting"


@EITHER_DOOR
def test_input_that_fits_dispatches_the_step_that_asked_again(
    face: Face, approval: str, door: Door
) -> None:
    run_id = at_approval(face, approval, schema=APPROVAL)["run"]["id"]

    answer = door(face, run_id, {"approved": True})

    assert answer.status_code == 200, answer.text
    dispatch = answer.json if door is by_claim else face.hold(run_id)
    assert dispatch is not None
    assert (dispatch["step"]["name"], dispatch["step"]["index"]) == ("approve", 1)
    assert (dispatch["step"]["input"], dispatch["step"]["resumed"]) == ({"approved": True}, True)
    assert dispatch["step"]["outputs"] == {"check": "checked"}
    assert dispatch["run"]["waitingFor"] is None
    following = face.succeed(dispatch, next="pay")["next"]
    assert (following["step"]["input"], following["step"]["resumed"]) == ({}, False)


def test_of_64_resumes_at_once_by_either_door_one_wins(crowded: Face, approval: str) -> None:
    doors = [(by_resume,), (by_claim,), (by_resume, by_claim)]
    for turn in range(20):
        run_id = at_approval(crowded, approval)["run"]["id"]
        chosen = doors[turn % len(doors)]

        answers = at_once(
            *(partial(chosen[n % len(chosen)], crowded, run_id, n) for n in range(64))
        )

        won = [n for n, answer in enumerate(answers) if answer.status_code == 200]
        assert len(won) == 1
        assert {answer.status_code for answer in answers} == {200, 409}
        row = crowded.row(run_id)
        assert row["resumeInput"] == won[0]
        assert crowded.kinds(run_id).count("resumed") == 1


def test_a_cycle_asks_until_it_is_content(face: Face) -> None:
    workflow = face.define(
        step("ask", "weigh", waits=True), step("weigh", "ask", "end"), step("end")
    )
    dispatch = face.dispatch(workflow)
    run_id = dispatch["run"]["id"]
    for turn in range(3):
        assert face.await_input(dispatch, schema={"const": turn})["status"] == "waiting"
        assert face.resume(run_id, turn + 1).status_code == 422
        assert face.resume(run_id, turn).status_code == 200
        weighing = face.succeed(face.hold(run_id), turn)["next"]
        dispatch = face.succeed(weighing, next="ask" if turn < 2 else "end")["next"]

    assert (dispatch["step"]["name"], dispatch["step"]["index"]) == ("end", 6)
    assert face.succeed(dispatch)["status"] == "finished"


def test_a_repeated_resume_is_answered_though_its_input_would_not_fit_now(
    face: Face, approval: str
) -> None:
    run_id = at_approval(face, approval, schema={"const": 1})["run"]["id"]
    key = {"Idempotency-Key": f"resume {run_id}"}
    face.resume(run_id, 1, key)
    face.await_input(face.hold(run_id), schema={"const": 2})

    again = face.resume(run_id, 1, key)

    assert (again.status_code, face.state(run_id)[0]) == (200, "waiting")

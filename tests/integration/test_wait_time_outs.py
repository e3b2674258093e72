"""Waits that last too long: the run fails, or goes on along the branch that it named."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import pytest

from tests.integration.approvals import (
    at_approval,
)
from tests.integration.face import Face, fresh_name, step
from tests.integration.racing import both_at_once


@pytest.mark.parametrize("on_timeout", [None, "fail"])
def test_when_nobody_comes_in_time_the_run_fails(
    face: Face, approval: str, on_timeout: str | None
) -> None:
    waiting_for = {"timeoutSeconds": 60} | ({"onTimeout": on_timeout} if on_timeout else {})
    run_id = at_approval(face, approval, **waiting_for)["run"]["id"]
    face.tick()
    in_time = face.state(run_id)
    face.let_time_pass(run_id)

    run = face.run(run_id)
    assert in_time == ("waiting", "approve")
    assert (run["runState"], run["error"]["code"], run["error"]["stepIndex"]) == (
        "failed",
        "input-timed-out",
        1,
    )
    assert run["waitingFor"] is None
    assert face.kinds(run_id)[-1] == "timed-out"
    assert face.steps(run_id)[-1]["state"] == "failed"
    assert face.resume(run_id, {}).status_code == 410


def test_a_run_waits_as_long_as_it_says(face: Face, approval: str) -> None:
    before = face.sql("SELECT clock_timestamp() AS now")[0]["now"]
    run_id = at_approval(face, approval, timeoutSeconds=3600)["run"]["id"]
    until = datetime.fromisoformat(face.run(run_id)["availableAt"])

    assert timedelta(seconds=3599) < until - before < timedelta(seconds=3610)
    forever = at_approval(face, approval)["run"]["id"]
    assert face.run(forever)["availableAt"] is None


def test_when_nobody_comes_in_time_the_run_goes_on_along_the_branch_it_named(
    face: Face, approval: str
) -> None:
    dispatch = at_approval(face, approval, timeoutSeconds=60, onTimeout={"next": "refuse"})
    run_id = dispatch["run"]["id"]
    face.let_time_pass(run_id)

    run = face.run(run_id)
    assert (run["runState"], run["stepName"], run["stepIndex"]) == ("pending", "refuse", 2)
    assert (run["waitingFor"], run["error"], run["failures"]) == (None, None, 0)
    assert [s["state"] for s in face.steps(run_id)] == ["finished", "skipped"]
    again = face.hold(run_id)
    assert (again["step"]["input"], again["step"]["resumed"]) == ({}, False)
    assert again["step"]["outputs"] == {"check": "checked"}
    assert face.succeed(again)["status"] == "finished"
    assert face.events(run_id)[-3]["detail"]["next"] == "refuse"


def test_the_branch_of_a_time_out_may_be_of_another_queue(face: Face) -> None:
    elsewhere = fresh_name("slow")
    workflow = face.define(step("a", "b"), step("b", queue=elsewhere))
    run_id = face.waiting(workflow, timeoutSeconds=60, onTimeout={"next": "b"})["run"]["id"]
    face.let_time_pass(run_id)

    (dispatch,) = face.claim(elsewhere)
    assert dispatch["run"]["id"] == run_id


@pytest.mark.parametrize("named", ["nowhere", "check", "approve"])
def test_a_time_out_that_names_a_step_not_offered_is_an_error_at_once(
    face: Face, approval: str, named: str
) -> None:
    dispatch = face.succeed(face.dispatch(approval))["next"]

    result = face.await_input(dispatch, timeoutSeconds=60, onTimeout={"next": named})

    run = face.run(dispatch["run"]["id"])
    assert (result["status"], run["error"]["code"]) == ("failed", "step-failed")
    assert named in run["error"]["message"]


def test_input_and_a_time_out_at_the_same_instant_have_one_effect(
    face: Face, approval: str
) -> None:
    resumed = 0
    for _ in range(40):
        run_id = at_approval(face, approval, timeoutSeconds=60)["run"]["id"]

        answer, _ = both_at_once(
            partial(face.resume, run_id, {}), partial(face.let_time_pass, run_id)
        )

        state = face.state(run_id)[0]
        assert (answer.status_code, state) in {(200, "pending"), (410, "failed")}
        resumed += state == "pending"
    assert resumed > 0

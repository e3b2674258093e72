"""Resolve: what became of a step of unknown outcome, said by somebody who has looked."""

from __future__ import annotations

import pytest

from orchestrator.lifecycle import Role
from tests.integration.charges import abort_and_expiry, unknown
from tests.integration.face import Face, fresh_name, problem, step


@pytest.fixture(scope="module")
def forked_charge(face: Face) -> str:
    """A workflow that charges a card, then does one of two things."""
    return face.define(
        step("charge", "tell", "ship", mutating=True),
        step("tell"),
        step("ship", queue="shipping"),
    )


def test_a_parked_run_is_moved_by_nothing_but_resolve(face: Face, charge: str) -> None:
    run_id = unknown(face, charge)["run"]["id"]
    before = face.row(run_id)

    refusals = [
        face.claim_run(run_id),
        face.claim_run(run_id, input={}),
        face.resume(run_id, {}),
        face.send(Role.CLIENT, "POST", f"/v1/runs/{run_id}/abort", {}),
        face.send(Role.CLIENT, "POST", f"/v1/runs/{run_id}/retry", {}),
    ]
    face.tick()

    assert [answer.status_code for answer in refusals] == [409] * 5
    assert face.claim(before["queue"]) == []
    assert face.row(run_id) == before


def test_run_again_takes_a_new_key_and_forgets_the_abort(face: Face, charge: str) -> None:
    begun = face.begun(charge, maxCrashes=1)
    run_id = begun["run"]["id"]
    abort_and_expiry(face, begun)

    answer = face.resolve(run_id, "run-again")

    assert answer.status_code == 200
    run = face.run(run_id)
    assert (run["runState"], run["stepName"], run["stepIndex"]) == ("pending", "charge", 1)
    assert (run["failures"], run["crashes"], run["abortRequestedAt"]) == (0, 0, None)
    again = face.hold(run_id)
    assert again["step"]["idempotencyKey"] == f"{run_id}:1"
    assert [s["state"] for s in face.steps(run_id)] == ["unknown"]
    assert face.succeed(again)["next"]["step"]["name"] == "tell"


def test_done_goes_on_to_the_next_step_with_the_output_that_was_told(
    face: Face, charge: str
) -> None:
    run_id = unknown(face, charge)["run"]["id"]

    answer = face.resolve(run_id, "done", output={"charge": 7})

    assert answer.status_code == 200, answer.text
    assert face.state(run_id) == ("pending", "tell")
    assert [(s["state"], s["output"]) for s in face.steps(run_id)] == [("finished", {"charge": 7})]
    following = face.hold(run_id)
    assert (following["step"]["index"], following["step"]["outputs"]) == (
        1,
        {"charge": {"charge": 7}},
    )
    assert face.succeed(following)["status"] == "finished"


def test_done_with_the_last_step_finishes_the_run(face: Face) -> None:
    run_id = unknown(face, face.define(step("charge", mutating=True)))["run"]["id"]

    face.resolve(run_id, "done", output={"charge": 7})

    run = face.run(run_id)
    assert (run["runState"], run["output"]) == ("finished", {"charge": 7})


def test_done_where_several_are_offered_needs_to_know_which(face: Face, forked_charge: str) -> None:
    run_id = unknown(face, forked_charge)["run"]["id"]
    before = face.row(run_id)

    unsaid = face.resolve(run_id, "done")
    unknown_step = face.resolve(run_id, "done", next="charge")
    unchanged = face.row(run_id) == before
    answer = face.resolve(run_id, "done", next="ship")

    assert problem(unsaid) == problem(unknown_step) == (409, "state-conflict")
    assert unchanged
    assert answer.status_code == 200
    run = face.run(run_id)
    assert (run["runState"], run["stepName"], run["stepQueue"]) == ("pending", "ship", "shipping")


def test_done_of_a_run_without_a_definition_has_nowhere_to_go(face: Face) -> None:
    run_id = unknown(face, fresh_name("plain"))["run"]["id"]

    assert face.resolve(run_id, "done", next="tell").status_code == 409
    assert face.resolve(run_id, "done", output=7).status_code == 200
    assert face.run(run_id)["output"] == 7


@pytest.mark.parametrize(
    ("last", "state"), [(False, "aborted"), (True, "finished")], ids=["more to do", "last"]
)
def test_done_when_an_abort_was_requested_ends_the_run_there(
    face: Face, charge: str, last: bool, state: str
) -> None:
    workflow = face.define(step("charge", mutating=True)) if last else charge
    begun = face.begun(workflow)
    run_id = begun["run"]["id"]
    abort_and_expiry(face, begun)

    face.resolve(run_id, "done", output=7)

    run = face.run(run_id)
    assert (run["runState"], run["output"]) == (state, 7 if last else None)
    assert face.steps(run_id)[0]["output"] == 7


def test_giving_up_aborts_the_run(face: Face, charge: str) -> None:
    run_id = unknown(face, charge)["run"]["id"]

    face.resolve(run_id, "abort")

    assert face.state(run_id) == ("aborted", "charge")
    face.retry(run_id)
    assert face.hold(run_id)["step"]["idempotencyKey"] == f"{run_id}:1"


@pytest.mark.parametrize("as_", ["done", "run-again", "abort"])
def test_only_a_run_of_unknown_outcome_is_resolved(face: Face, charge: str, as_: str) -> None:
    begun = face.begun(charge)
    waiting = face.waiting(fresh_name("plain"))

    for dispatch in (begun, waiting):
        before = face.row(dispatch["run"]["id"])
        assert face.resolve(dispatch["run"]["id"], as_).status_code == 409
        assert face.row(dispatch["run"]["id"]) == before

"""Reports of a step that was left, told again: answered as the first, and never with more."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import event

from tests.integration.face import Face, Json
from tests.integration.racing import at_once


@pytest.mark.parametrize("steps_ahead", [0, 1])
def test_a_replayed_continue_gets_the_present_dispatch(
    face: Face, chain: str, steps_ahead: int
) -> None:
    dispatch = face.dispatch(chain)
    present = face.succeed(dispatch, 1)["next"]
    for _ in range(steps_ahead):
        present = face.succeed(present)["next"]

    again = face.succeed(dispatch, 1)

    assert (again["status"], again["replayed"]) == ("continue", True)
    assert again["next"]["step"] == present["step"]
    assert again["next"]["lease"] == present["lease"]
    assert len(face.events(dispatch["run"]["id"])) == 3 + steps_ahead


def test_a_replayed_continue_of_a_lease_that_has_ended_hands_out_nothing(
    face: Face, chain: str
) -> None:
    dispatch = face.dispatch(chain)
    run_id = dispatch["run"]["id"]
    second = face.succeed(dispatch, 1)["next"]
    face.expire(run_id)
    after_expiry = face.succeed(dispatch, 1)
    face.hold(run_id)
    after_another_claim = face.succeed(dispatch, 1)
    too_late = face.succeed(second)

    for answer in (after_expiry, after_another_claim):
        assert (answer["status"], answer["replayed"]) == ("continue", True)
        assert answer["next"] is None
    assert too_late["problem"]["code"] == "lease-lost"


def test_another_outcome_of_a_step_that_was_left_is_a_conflict(face: Face, chain: str) -> None:
    dispatch = face.dispatch(chain)
    face.succeed(dispatch, 1)

    assert face.succeed(dispatch, 2)["problem"]["code"] == "outcome-conflict"
    assert face.fail(dispatch)["problem"]["code"] == "outcome-conflict"
    assert face.steps(dispatch["run"]["id"])[0]["output"] == 1


def test_a_step_that_is_not_reached_yet_is_out_of_order(face: Face, chain: str) -> None:
    dispatch = face.dispatch(chain)
    ahead = dispatch | {"step": dispatch["step"] | {"index": 1}}

    assert face.succeed(ahead)["problem"]["code"] == "step-out-of-order"
    assert face.state(dispatch["run"]["id"]) == ("loading", "a")


def test_a_replayed_claim_is_at_the_present_step(face: Face, chain: str) -> None:
    run_id = face.create(chain)["id"]
    request = {"requestId": "00000000-0000-4000-8000-00000000c1a1"}
    first = face.hold(run_id, **request)
    face.succeed(first, "of a")

    again = face.hold(run_id, **request)

    assert again["replayed"]
    assert again["lease"]["id"] == first["lease"]["id"]
    assert (again["step"]["name"], again["step"]["outputs"]) == ("b", {"a": "of a"})


def test_of_64_reports_of_one_step_at_once_one_is_stored(face: Face, chain: str) -> None:
    for _ in range(3):
        dispatch = face.dispatch(chain)

        results = at_once(*(partial(face.succeed, dispatch, n % 2) for n in range(64)))

        stored = [r for r in results if r["status"] == "continue" and not r["replayed"]]
        refused = [r for r in results if r["problem"]]
        assert len(stored) == 1
        assert {r["problem"]["code"] for r in refused} == {"outcome-conflict"}
        assert len(refused) == 32
        assert len(face.events(dispatch["run"]["id"])) == 3


def test_a_replay_that_the_next_holder_overtakes_does_not_see_that_ones_lease(
    face: Face, chain: str
) -> None:
    dispatch = face.dispatch(chain)
    run_id = dispatch["run"]["id"]
    face.succeed(dispatch, 1)
    taken: list[Json] = []

    def take_away(_connection: object, _cursor: object, text: str, *_: object) -> None:
        # Between the look at the run's step and the look at its dispatch.
        if text.lstrip().startswith('SELECT r.id, r."stepIndex"') and not taken:
            face.expire(run_id)
            taken.append(face.hold(run_id))

    event.listen(face.services.database.leases, "after_cursor_execute", take_away)
    try:
        again = face.succeed(dispatch, 1)
    finally:
        event.remove(face.services.database.leases, "after_cursor_execute", take_away)

    assert len(taken) == 1
    assert (again["status"], again["next"]) == ("continue", None)

"""Branching: the handler chooses among the next steps that its step offers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.face import Face, step


@pytest.fixture(scope="module")
def fork(face: Face) -> str:
    """A workflow whose first step offers two."""
    return face.define(
        step("check", "pay", "refuse"), step("pay", "tell"), step("refuse"), step("tell")
    )


@pytest.mark.parametrize("choice", ["pay", "refuse"])
def test_the_chosen_step_follows(face: Face, fork: str, choice: str) -> None:
    dispatch = face.dispatch(fork)

    result = face.succeed(dispatch, next=choice)

    assert (result["status"], result["next"]["step"]["name"]) == ("continue", choice)
    assert face.events(dispatch["run"]["id"])[-1]["detail"]["next"] == choice


def test_one_that_is_offered_alone_needs_no_choice_and_allows_it(face: Face, fork: str) -> None:
    unsaid, said = (face.succeed(face.dispatch(fork), next="pay")["next"] for _ in range(2))

    assert face.succeed(unsaid)["next"]["step"]["name"] == "tell"
    assert face.succeed(said, next="tell")["next"]["step"]["name"] == "tell"


@pytest.mark.parametrize(
    ("at", "chosen", "words"),
    [
        (None, {}, "none was chosen"),
        (None, {"next": "nowhere"}, "nowhere was chosen"),
        (None, {"next": "tell"}, "tell was chosen"),
        (None, {"next": "check"}, "check was chosen"),
        ("pay", {"next": "refuse"}, "refuse was chosen"),
        ("refuse", {"next": "tell"}, "tell was chosen"),
    ],
)
@pytest.mark.parametrize("chain", [True, False])
def test_a_choice_that_is_not_offered_fails_the_step_and_never_leaves_the_run_stuck(
    face: Face, fork: str, at: str | None, chosen: dict[str, Any], words: str, chain: bool
) -> None:
    dispatch = face.dispatch(fork, maxFailures=100)
    if at:
        dispatch = face.succeed(dispatch, next=at)["next"]

    result = face.succeed(dispatch, {"done": True}, chain=chain, **chosen)

    run = face.run(dispatch["run"]["id"])
    assert (result["status"], result["next"], result["problem"]) == ("failed", None, None)
    assert (run["runState"], run["error"]["code"]) == ("failed", "step-failed")
    assert run["error"]["stepIndex"] == run["stepIndex"] == dispatch["step"]["index"]
    assert words in run["error"]["message"]
    last = face.steps(run["id"])[-1]
    assert (last["state"], last["output"]) == ("failed", None)
    assert face.events(run["id"])[-1]["detail"]["outcome"] == "error"


def test_a_choice_of_a_run_without_a_definition_is_not_offered_either(face: Face) -> None:
    dispatch = face.dispatch("of-no-definition")

    assert face.succeed(dispatch, next="nowhere")["status"] == "failed"


def test_a_wrong_choice_can_be_put_right_by_an_operators_retry(face: Face, fork: str) -> None:
    dispatch = face.dispatch(fork)
    face.succeed(dispatch, next="nowhere")
    face.retry(dispatch["run"]["id"])

    again = face.hold(dispatch["run"]["id"])

    assert (again["step"]["name"], again["step"]["index"]) == ("check", 0)
    assert face.succeed(again, next="refuse")["status"] == "continue"
    assert face.run(dispatch["run"]["id"])["error"] is None


def test_a_replay_of_a_wrong_choice_is_answered_as_the_first(face: Face, fork: str) -> None:
    dispatch = face.dispatch(fork)
    face.succeed(dispatch, next="nowhere")

    again = face.succeed(dispatch, next="nowhere")

    assert (again["status"], again["replayed"], again["next"]) == ("failed", True, None)


def test_an_abort_that_was_asked_for_outweighs_a_wrong_choice(face: Face, fork: str) -> None:
    dispatch = face.dispatch(fork)
    face.abort(dispatch["run"]["id"])

    assert face.succeed(dispatch, next="nowhere")["status"] == "aborted"


def test_paths_that_part_meet_again(face: Face) -> None:
    workflow = face.define(step("a", "b", "c"), step("b", "d"), step("c", "d"), step("d"))
    ends = []
    for choice in ("b", "c"):
        dispatch = face.succeed(face.dispatch(workflow), next=choice)["next"]
        dispatch = face.succeed(dispatch, f"of {choice}")["next"]
        ends.append((dispatch["step"]["name"], dispatch["step"]["outputs"]))

    assert ends == [("d", {"b": "of b"}), ("d", {"c": "of c"})]

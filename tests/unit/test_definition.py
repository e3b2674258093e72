"""Definitions: what keeps steps from being a workflow, said of the step that it is about."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.definition import by_name, faults

Step = dict[str, Any]


def step(name: str, *following: str, uses: tuple[str, ...] = (), waits: bool = False) -> Step:
    return {"name": name, "next": list(following), "uses": list(uses), "waits": waits}


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([step("a")], id="one step"),
        pytest.param(
            [step("a", "b", "c"), step("b", "d"), step("c", "d"), step("d")], id="diamond"
        ),
        pytest.param([step("a", "b"), step("b", uses=("a",))], id="uses an earlier one"),
        pytest.param([step("a", "b"), step("b", "a", "c", waits=True), step("c")], id="waits"),
        pytest.param([step("a", "a", waits=True)], id="asks until it is content"),
        pytest.param(
            [step("a", "b"), step("b", "c", waits=True), step("c", "d"), step("d", "a")],
            id="a long cycle that waits once",
        ),
    ],
)
def test_a_workflow_has_no_faults(steps: list[Step]) -> None:
    assert faults(steps) == []


@pytest.mark.parametrize(
    ("steps", "path", "sentence"),
    [
        pytest.param(
            [step("a", "b"), step("b", "gone")],
            "/steps/1/next/0",
            "step b: there is no step gone",
            id="an unknown next",
        ),
        pytest.param(
            [step("a", "b"), step("b", uses=("a", "gone"))],
            "/steps/1/uses/1",
            "step b: there is no step gone",
            id="an unknown use",
        ),
        pytest.param(
            [step("a", "b"), step("b"), step("b")],
            "/steps/2/name",
            "step b is there more than once",
            id="a name twice",
        ),
        pytest.param(
            [step("a", "b", "b"), step("b")],
            "/steps/0/next/1",
            "step a names b twice in next",
            id="a next twice",
        ),
        pytest.param(
            [step("a", "b"), step("b", uses=("a", "a"))],
            "/steps/1/uses/1",
            "step b names a twice in uses",
            id="a use twice",
        ),
        pytest.param(
            [step("a"), step("b")], "/steps/1", "step b cannot be reached", id="unreachable"
        ),
        pytest.param([step("a", "a")], "/steps/0/next", "step a is in a cycle", id="a self-loop"),
    ],
)
def test_a_fault_names_its_step(steps: list[Step], path: str, sentence: str) -> None:
    ((where, said),) = faults(steps)

    assert where == path
    assert said.startswith(sentence)


def test_a_cycle_names_its_steps_and_not_those_that_lead_in_or_out() -> None:
    steps = [step("a", "b"), step("b", "c"), step("c", "b", "d"), step("d")]

    assert [path for path, _ in faults(steps)] == ["/steps/1/next", "/steps/2/next"]


def test_of_two_cycles_the_one_that_waits_does_not_excuse_the_other() -> None:
    steps = [step("a", "b", "c"), step("b", "a", waits=True), step("c", "d"), step("d", "c")]

    assert [path for path, _ in faults(steps)] == ["/steps/2/next", "/steps/3/next"]


def test_steps_that_reach_only_each_other_are_all_unreachable() -> None:
    steps = [step("a"), step("b", "c", waits=True), step("c", "b")]

    assert [said for _, said in faults(steps)] == [
        "step b cannot be reached",
        "step c cannot be reached",
    ]


def test_every_fault_is_told_at_once() -> None:
    assert len(faults([step("a", "x", "y"), step("b", uses=("z",))])) == 3


def test_a_long_chain_is_no_trouble() -> None:
    steps = [step(f"s{n}", f"s{n + 1}") for n in range(199)] + [step("s199")]

    assert faults(steps) == []
    assert list(by_name(steps)) == [f"s{n}" for n in range(200)]

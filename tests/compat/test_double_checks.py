"""What the double checks of an answer is all that the executor checks, field by field."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.compat.double.fields import Malformed
from tests.compat.double.runs import UnmappableStep, run_of
from tests.compat.double.schema import schema_of
from tests.compat.recorded import Json, session

GONE = object()

RUN: list[tuple[str, Any]] = [
    ("id", GONE),
    ("id", "01a2b3c4-0000-7000-8000-000000000000"),
    ("id", True),
    ("id", 2**53),
    ("collectionId", 77),
    ("collectionId", ""),
    ("collectionName", GONE),
    ("collectionName", None),
    ("selectedRecordId", 7),
    ("selectedRecordId", ""),
    ("triggerType", "mcp"),
    ("workflowHistory", {}),
    ("workflowHistory", []),
    ("workflowHistory.0.stepIndex", -1),
    ("workflowHistory.0.stepIndex", "0"),
    ("userProfile", None),
    ("userProfile.id", "42"),
    ("userProfile.email", None),
    ("userProfile.renderingId", -1),
    ("userProfile.renderingId", "5"),
    ("userProfile.tags", None),
    ("userProfile.tags", {"fence": 7}),
    ("userProfile.serverToken", ""),
    ("userProfile.serverToken", GONE),
]
STEP: list[tuple[str, Any]] = [
    ("stepName", ""),
    ("done", GONE),
    ("stepDefinition", GONE),
    ("stepDefinition", {"type": "end"}),
    ("stepDefinition.type", GONE),
    ("stepDefinition.taskType", "make-tea"),
    ("stepDefinition.preRecordedArgs", GONE),
    ("stepDefinition.preRecordedArgs.selectedRecordStepId", GONE),
    ("stepDefinition.preRecordedArgs.fieldNames", "total"),
]
SCHEMA: list[tuple[str, Any]] = [
    ("collectionName", ""),
    ("collectionId", 77),
    ("collectionDisplayName", GONE),
    ("primaryKeyFields", []),
    ("fields", None),
    ("fields.0.fieldName", GONE),
    ("fields.0.displayName", None),
    ("fields.0.isRelationship", GONE),
    ("actions.0.name", GONE),
    ("actions.0.displayName", GONE),
    ("actions.0.endpoint", ""),
    ("actions.0.fields", GONE),
    ("actions.0.hooks", GONE),
    ("actions.0.hooks.load", None),
    ("actions.0.hooks.change", None),
]


def changed(document: Json, path: str, value: Any) -> Json:
    """A copy in which one member is another one, or gone."""
    document = copy.deepcopy(document)
    *way, last = path.split(".")
    place: Any = document
    for name in way:
        place = place[int(name) if isinstance(place, list) else name]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return document


def polled() -> Json:
    return next(run for exchange in session().to("orchestrator") for run in exchange.runs)


def recorded_schema() -> Json:
    found = (one for one in session().to("orchestrator") if "/collection-schema/" in one.path)
    answer: Json = next(found).answer
    return answer


def test_every_recorded_answer_is_understood() -> None:
    runs = [run for exchange in session().to("orchestrator") for run in exchange.runs]

    assert [run_of(run).step_index for run in runs] == [0, 1, 2, 2, 3, 3, 4, 4, 5, 6]
    assert schema_of(recorded_schema()).endpoints == {"Refund": "/forest/_actions/orders/0/refund"}


@pytest.mark.parametrize(("path", "value"), RUN)
def test_a_run_that_the_executor_would_stumble_over_is_refused(path: str, value: Any) -> None:
    with pytest.raises(Malformed):
        run_of(changed(polled(), path, value))


@pytest.mark.parametrize(("path", "value"), STEP)
def test_a_step_that_cannot_be_mapped_is_told_with_run_and_index(path: str, value: Any) -> None:
    with pytest.raises(UnmappableStep) as refused:
        run_of(changed(polled(), f"workflowHistory.0.{path}", value))
    assert (refused.value.run_id, refused.value.step_index) == (101, 0)


@pytest.mark.parametrize("value", [7, 1_763_805_600_123])
def test_a_step_index_may_be_any_number(value: int) -> None:
    run = run_of(changed(polled(), "workflowHistory.0.stepIndex", value))

    assert run is not None
    assert run.step_index == value


@pytest.mark.parametrize("name", ["workflowId", "runState", "lockedAt", "userId", "bpmnVersion"])
def test_what_the_executor_never_looks_at_may_be_missing(name: str) -> None:
    assert run_of(changed(polled(), name, GONE)) is not None


def test_a_run_whose_last_step_is_done_has_nothing_to_do() -> None:
    assert run_of(changed(polled(), "workflowHistory.0.done", True)) is None


def test_what_ended_a_branch_before_is_passed_over() -> None:
    run = polled()
    ended = {"stepName": "e", "stepIndex": 0, "done": True, "stepDefinition": {"type": "end"}}
    run["workflowHistory"].insert(0, ended)

    assert run_of(run) is not None


@pytest.mark.parametrize(("path", "value"), SCHEMA)
def test_a_schema_that_the_executor_would_stumble_over_is_refused(path: str, value: Any) -> None:
    with pytest.raises(Malformed):
        schema_of(changed(recorded_schema(), path, value))

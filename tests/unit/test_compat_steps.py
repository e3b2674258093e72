"""Steps of a definition, as the adapter's executors know them."""

from typing import Any

import pytest

from orchestrator.desk.compat_steps import (
    chosen_step,
    gives_a_sign,
    is_verbatim,
    step_definition,
)

GUIDANCE = {"type": "task", "taskType": "guideline"}
CONDITION = {"type": "condition", "executionType": "manual", "outgoing": []}
RECORDED = {"taskType": "update-data", "preRecordedArgs": {}}


@pytest.mark.parametrize(
    ("params", "theirs"),
    [
        (GUIDANCE, True),
        (CONDITION, True),
        ({"taskType": "get-data"}, True),
        ({}, False),
        ({"type": "task"}, False),
        ({"taskType": None}, False),
        ({"amount": 7}, False),
    ],
    ids=str,
)
def test_params_say_whether_a_step_is_theirs(params: dict[str, Any], theirs: bool) -> None:
    assert is_verbatim(params) is theirs


def test_a_step_of_theirs_stays_as_it_is_and_lacks_nothing() -> None:
    assert step_definition("ask", "t", CONDITION) == {"title": "ask", **CONDITION}
    assert step_definition("pay", "t", RECORDED) == {"type": "task", "title": "pay", **RECORDED}
    assert step_definition("pay", "t", GUIDANCE | {"title": "Ask"})["title"] == "Ask"


def test_any_other_triggers_the_action_that_is_called_like_its_type() -> None:
    made = step_definition("pay", "charge-card", {"amount": 7})

    assert (made["type"], made["taskType"]) == ("task", "trigger-action")
    assert made["executionType"] == "fully-automated"
    assert made["preRecordedArgs"] == {
        "selectedRecordStepId": "workflow-start",
        "actionName": "charge-card",
    }


@pytest.mark.parametrize(
    ("params", "soon"),
    [
        ({}, True),
        (GUIDANCE, True),
        (CONDITION, True),
        (RECORDED, True),
        (CONDITION | {"executionType": "fully-automated"}, False),
        ({"type": "condition"}, False),
        ({"taskType": "update-data"}, False),
        ({"taskType": "mcp", "preRecordedArgs": None}, False),
    ],
    ids=str,
)
def test_only_who_asks_a_model_first_is_silent(params: dict[str, Any], soon: bool) -> None:
    assert gives_a_sign(step_definition("s", "t", params)) is soon


def ways(*ways_out: Any) -> dict[str, Any]:
    return {"outgoing": list(ways_out)}


YES, NO = {"stepId": "pay", "answer": "Yes"}, {"stepId": "mail", "answer": "No"}


@pytest.mark.parametrize(
    ("params", "option", "chosen"),
    [
        (ways(YES, NO), "Yes", "pay"),
        (ways(NO, YES), "Yes", "pay"),
        (ways(NO, YES), "No", "mail"),
        (ways({"answer": "a"}, {"answer": "b"}), "b", "mail"),
        (ways({"buttonText": "a"}, {"stepId": "gone", "buttonText": "b"}), "b", "mail"),
        (ways({"stepId": None, "answer": "a"}), "a", "pay"),
        (ways("Yes", YES), "Yes", "pay"),
        (ways(YES, NO), None, None),
    ],
    ids=str,
)
def test_an_option_leads_where_its_way_out_says_else_to_the_same_place(
    params: dict[str, Any], option: str | None, chosen: str | None
) -> None:
    assert chosen_step(params, ["pay", "mail"], option) == chosen


@pytest.mark.parametrize("offered", [[], ["pay"]])
def test_where_there_is_nothing_to_choose_an_option_chooses_nothing(offered: list[str]) -> None:
    assert chosen_step({}, offered, "Yes") is None


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"outgoing": None},
        {"outgoing": {}},
        ways(NO),
        ways("Yes"),
        ways([], [], {"answer": "Yes"}),
    ],
    ids=str,
)
def test_an_option_that_leads_nowhere_is_none(params: dict[str, Any]) -> None:
    with pytest.raises(LookupError):
        chosen_step(params, ["pay", "mail"], "Yes")

"""Steps as the adapter's executors know them, made of the steps of a definition.

Pure. A step whose `params` say what kind it is there (a `taskType`, or `"type":
"condition"`) is theirs as it stands. Any other becomes the trigger of an action that is
called like the step's type, so that its handler is an HTTP service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

StepDefinition = dict[str, Any]

# Under these nothing is asked of us before the step is done.
_CONDITION: Final = "condition"
_GUIDELINE: Final = "guideline"
_TRIGGER_ACTION: Final = "trigger-action"
_MANUAL: Final = "manual"
_FULLY_AUTOMATED: Final = "fully-automated"
# What their steps call the record that a run is about.
_THE_RUNS_RECORD: Final = "workflow-start"


def is_verbatim(params: Mapping[str, Any]) -> bool:
    """Whether a step's params are a definition of theirs."""
    return isinstance(params.get("taskType"), str) or params.get("type") == _CONDITION


def step_definition(name: str, step_type: str, params: Mapping[str, Any]) -> StepDefinition:
    """A step's definition in their form."""
    if is_verbatim(params):
        return {"type": "task", "title": name, **params}
    return {
        "type": "task",
        "taskType": _TRIGGER_ACTION,
        "title": name,
        "prompt": step_type,
        "executionType": _FULLY_AUTOMATED,
        "automaticCompletion": True,
        "outgoing": [],
        "preRecordedArgs": {
            "selectedRecordStepId": _THE_RUNS_RECORD,
            "actionName": step_type,
        },
    }


def gives_a_sign(definition: Mapping[str, Any]) -> bool:
    """
    Whether its executor asks something, or reports, soon after it has begun.

    One for which a model is asked first says nothing for as long as that takes.
    """
    if definition["type"] == _CONDITION:
        return definition.get("executionType") == _MANUAL
    return definition.get("taskType") == _GUIDELINE or isinstance(
        definition.get("preRecordedArgs"), Mapping
    )


def chosen_step(
    params: Mapping[str, Any], offered: Sequence[str], option: str | None
) -> str | None:
    """
    The step that follows the option that was selected.

    It is the one that the option's way out names by its `stepId`; when that names no step
    that is offered, the one in the same place of `next`.

    Returns:
        None when there is nothing to choose.

    Raises:
        LookupError: The option leads nowhere.
    """
    if option is None or len(offered) < 2:
        return None
    ways_out = params.get("outgoing")
    for place, way_out in enumerate(ways_out if isinstance(ways_out, list) else []):
        if not isinstance(way_out, Mapping):
            continue
        if option in (way_out.get("answer"), way_out.get("buttonText")):
            if way_out.get("stepId") in offered:
                return str(way_out["stepId"])
            if place < len(offered):
                return offered[place]
    raise LookupError(option)

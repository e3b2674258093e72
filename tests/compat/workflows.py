"""Steps that say themselves what that executor is to do, in its own words; and native ones."""

from __future__ import annotations

from typing import Any

Step = dict[str, Any]


def guidance(name: str, *following: str) -> Step:
    """Somebody does something by hand, and says so."""
    return _step(name, following, {"type": "task", "taskType": "guideline"}, waits=True)


def choice(name: str, **ways: str) -> Step:
    """Somebody chooses an answer, and thereby the step that it leads to."""
    outgoing = [{"stepId": step, "answer": answer} for answer, step in ways.items()]
    params = {"type": "condition", "executionType": "manual", "outgoing": outgoing}
    return _step(name, tuple(dict.fromkeys(ways.values())), params, waits=True)


def read(name: str, *following: str) -> Step:
    """A look at the record."""
    return _step(name, following, _task("get-data", fieldNames=["status"]))


def write(name: str, *following: str, mutating: bool = True) -> Step:
    """One change of the record, without a question."""
    task = _task("update-data", fieldName="status", value="paid")
    return _step(name, following, task, mutating=mutating)


def confirmed_write(name: str, *following: str) -> Step:
    """One change of the record, when somebody agrees."""
    task = _task("update-data", fieldName="status", value="refunded")
    task["executionType"] = "automated-with-confirmation"
    return _step(name, following, task, mutating=True, waits=True)


def action(name: str, *following: str) -> Step:
    """One action of the agent."""
    return _step(name, following, _task("trigger-action", actionName="Refund"), mutating=True)


def native(name: str, *following: str, mutating: bool = False) -> Step:
    """A step that knows nothing of that executor, and runs there as a handler over HTTP."""
    return _step(name, following, {}, mutating=mutating)


def _task(kind: str, **arguments: Any) -> dict[str, Any]:
    return {
        "type": "task",
        "taskType": kind,
        "executionType": "fully-automated",
        "preRecordedArgs": {"selectedRecordStepId": "workflow-start", **arguments},
    }


def _step(name: str, following: tuple[str, ...], params: dict[str, Any], **members: Any) -> Step:
    return {"name": name, "type": name, "params": params, "next": [*following], **members}

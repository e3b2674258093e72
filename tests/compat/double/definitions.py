"""Kinds of steps that need neither a cloud nor a model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from tests.compat.double.fields import Fields, Malformed

RECORD_OF_THE_RUN = "workflow-start"
CONFIRMED = "automated-with-confirmation"
AUTOMATED = "fully-automated"
MANUAL = "manual"


class Kind(Enum):
    """What a step does; the value is its `taskType`, or its `type` where it has none."""

    GUIDANCE = "guideline"
    CONDITION = "condition"
    READ = "get-data"
    UPDATE = "update-data"
    ACTION = "trigger-action"

    @property
    def writes(self) -> bool:
        return self in (Kind.UPDATE, Kind.ACTION)


@dataclass(frozen=True)
class Definition:
    """
    One step.

    Attributes:
        options: What a condition offers.
        arguments: What a step was recorded to do; no model is asked.
        is_confirmed: Somebody must agree before it writes.
    """

    kind: Kind
    options: tuple[str, ...] = ()
    arguments: dict[str, Any] | None = None
    is_confirmed: bool = False


def definition_of(step: Fields) -> Definition:
    """
    What a step definition of the wire asks for.

    Raises:
        Malformed: That executor cannot map it, or a model would have to be asked.
    """
    if step.text("type") == "condition":
        return _condition(step)
    step.one_of("type", "task")
    step.one_of("taskType", *(kind.value for kind in Kind if kind is not Kind.CONDITION))
    kind = Kind(step.get("taskType"))
    if kind is Kind.GUIDANCE:
        return Definition(kind)
    arguments = step.object("preRecordedArgs")
    arguments.one_of("selectedRecordStepId", RECORD_OF_THE_RUN)
    if kind is Kind.READ:
        if not arguments.array("fieldNames"):
            raise Malformed(f"{arguments.at}.fieldNames: nothing to read")
    else:
        arguments.text("fieldName" if kind is Kind.UPDATE else "actionName")
        step.one_of("executionType", AUTOMATED, CONFIRMED)
    if kind is Kind.UPDATE and not arguments.has("value"):
        raise Malformed(f"{arguments.at}.value: missing")
    return Definition(
        kind,
        arguments=dict(arguments.members),
        is_confirmed=kind.writes and step.get("executionType") == CONFIRMED,
    )


def _condition(step: Fields) -> Definition:
    step.one_of("executionType", MANUAL)
    ways = step.objects("outgoing")
    options = [way.text("answer" if way.get("answer") else "buttonText") for way in ways]
    if len(options) < 2:
        raise Malformed(f"{step.at}.outgoing: a condition needs two at least")
    return Definition(Kind.CONDITION, tuple(options))

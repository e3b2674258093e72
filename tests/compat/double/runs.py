"""A run as the orchestrator hands it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.compat.double.definitions import Definition, definition_of
from tests.compat.double.fields import Fields, Malformed

# Entries of the past that are passed over; the current step may be none of them.
PASSED_OVER = ("end", "escalation", "sub-workflow")


@dataclass(frozen=True)
class Profile:
    """
    On whose behalf a run is executed.

    Attributes:
        members: As they came: they go on to the agent.
    """

    id: int
    rendering_id: int
    server_token: str
    members: Mapping[str, Any]

    @property
    def tags(self) -> dict[str, str]:
        tags: dict[str, str] = self.members["tags"]
        return tags


@dataclass(frozen=True)
class Run:
    """One run at its current step."""

    id: int
    collection_id: str
    collection_name: str
    record_id: str
    profile: Profile
    step_name: str
    step_index: int
    definition: Definition


class UnmappableStep(Malformed):
    """A run whose current step cannot be understood: it is reported as an error."""

    def __init__(self, why: str, run_id: int, step_index: int) -> None:
        super().__init__(why)
        self.run_id = run_id
        self.step_index = step_index


def run_of(value: object) -> Run | None:
    """
    The run, every field that the executor checks being checked; None without a step to do.

    Raises:
        UnmappableStep: Its current step is none that the executor knows.
        Malformed: The executor would stumble over it and report nothing.
    """
    run = Fields.of(value, "run")
    run_id = run.integer("id")
    for name in ("collectionId", "collectionName", "selectedRecordId"):
        run.text(name)
    run.one_of("triggerType", "manual", "webhook", None)
    profile = _profile(run.object("userProfile"))
    history = run.objects("workflowHistory")
    if not history:
        raise Malformed("run.workflowHistory: empty")
    *past, current = history
    step_index = current.integer("stepIndex", least=0)
    try:
        for entry in past:
            _check_past(entry)
        step_name = current.text("stepName")
        if current.flag("done"):
            return None
        definition = definition_of(current.object("stepDefinition"))
    except Malformed as malformed:
        raise UnmappableStep(str(malformed), run_id, step_index) from malformed
    return Run(
        run_id,
        run.text("collectionId"),
        run.text("collectionName"),
        run.text("selectedRecordId"),
        profile,
        step_name,
        step_index,
        definition,
    )


def _profile(profile: Fields) -> Profile:
    profile.any_text("email")
    tags = profile.object("tags")
    for name in tags.members:
        tags.any_text(name)
    return Profile(
        profile.integer("id"),
        profile.integer("renderingId", least=0),
        profile.text("serverToken"),
        profile.members,
    )


def _check_past(entry: Fields) -> None:
    entry.text("stepName")
    entry.integer("stepIndex", least=0)
    entry.flag("done")
    definition = entry.object("stepDefinition")
    if definition.get("type") not in PASSED_OVER:
        definition_of(definition)

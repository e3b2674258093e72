"""Workflows: their definitions, and how they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from orchestrator.api.wire.members import Body, Json, Name, View

MOST_STEPS = 200
MAX_STEP_SECONDS = 30 * 24 * 3600
MAX_BACKOFF_SECONDS = 30 * 24 * 3600

Seconds = Annotated[float, Field(gt=0, le=MAX_STEP_SECONDS, allow_inf_nan=False)]
Names = Annotated[list[Name], Field(max_length=MOST_STEPS)]


class Retry(Body):
    """How often a step may fail, and how long it rests between: full jitter below the back-off."""

    max_failures: int | None = Field(
        default=None, ge=1, le=100, description="wins over the run's maxFailures"
    )
    backoff_seconds: float = Field(default=2, ge=0, le=MAX_BACKOFF_SECONDS, allow_inf_nan=False)
    backoff_factor: float = Field(default=2, ge=1, le=100, allow_inf_nan=False)
    max_backoff_seconds: float = Field(
        default=300, ge=0, le=MAX_BACKOFF_SECONDS, allow_inf_nan=False
    )


class StepDefinition(Body):
    """One step. Without `next` the run ends with it."""

    name: Name
    type: Name
    params: dict[str, Json] = Field(default_factory=dict)
    uses: Names = Field(
        default_factory=list, description="steps whose outputs it gets; the previous one by default"
    )
    next: Names = Field(default_factory=list, description="the steps that may follow")
    timeout_seconds: Seconds | None = None
    retry: Retry = Retry()
    mutating: bool = False
    queue: Name | None = Field(None, description="where it is claimed; the run's by default")
    waits: bool = Field(
        default=False, description="it waits for input; every cycle needs a step that does"
    )


class Definition(Body):
    """A workflow's steps; a run begins with the first."""

    steps: Annotated[list[StepDefinition], Field(min_length=1, max_length=MOST_STEPS)]


class Put(View):
    """A definition is current. The same content is the same version."""

    name: str
    version: int
    warnings: list[str] = Field(description="what may be a mistake, and is none yet")


class WorkflowView(View):
    """One version of a workflow."""

    name: str
    version: int
    current: bool
    definition: Any
    unserved_step_types: list[str] = Field(description="types that no live executor serves")
    created_by: str
    created_at: datetime


class WorkflowDetails(WorkflowView):
    """One version of a workflow, and which others there are."""

    versions: list[int]


class WorkflowList(View):
    """The current version of each workflow, by name."""

    items: list[WorkflowView]

"""Schedules: when what is to run."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from orchestrator.api.wire.members import Body, Json, Name, View


class ScheduleDefinition(Body):
    """A workflow that the clock runs."""

    workflow: Name
    cron: Annotated[str, Field(min_length=1, max_length=200, examples=["30 3 * * mon-fri"])]
    time_zone: Annotated[str, Field(min_length=1, max_length=100, examples=["Europe/Berlin"])] = (
        "UTC"
    )
    input: Json = Field(default_factory=dict)
    queue: Name = "default"
    overlap: Literal["skip", "queue"] = Field(
        "skip", description="skip: not while the last run lives; queue: in any case"
    )
    paused: bool = False


class ScheduleView(View):
    """A schedule as it stands."""

    name: str
    workflow: str
    cron: str
    time_zone: str
    input: Any
    queue: str
    overlap: str
    paused: bool
    next_at: datetime | None = Field(description="when it fires next; null for never")
    last_at: datetime | None = Field(
        description="the due time of its last firing, or when it was last run beside its times"
    )
    last_run_id: UUID | None
    changed_by: str
    changed_at: datetime


class ScheduleList(View):
    """Every schedule of the token's queues, by name."""

    items: list[ScheduleView]


class RunNow(View):
    """A run was created by hand, or the overlap policy kept it from being."""

    run_id: UUID | None

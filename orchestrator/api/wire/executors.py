"""Executors: how one registers, and how it is shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, Field

from orchestrator.api.wire.members import Body, Id, Name, Text, View


def _http_url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("must be an http or https URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http or https URL")
    return text


Url = Annotated[
    str,
    Field(max_length=2_000, json_schema_extra={"pattern": "^[hH][tT][tT][pP][sS]?://"}),
    AfterValidator(_http_url),
]
Label = Annotated[str, Field(max_length=200)]


class Registration(Body):
    """What an executor's process says of itself when it starts."""

    session: Id
    version: Annotated[str, Field(max_length=200)] | None = None
    slots: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="how many runs it executes at once; it is given twice as many at most"
    )
    queues: Annotated[list[Name], Field(max_length=100)] = Field(default_factory=list)
    step_types: Annotated[list[Name], Field(max_length=1_000)] = Field(default_factory=list)
    labels: Annotated[dict[Name, Label], Field(max_length=50)] = Field(default_factory=dict)
    url: Url | None = Field(None, description="shown, never called")
    draining: bool = Field(
        default=False, description="this session is being stopped: hand it nothing more"
    )
    replaces: Literal["others"] | None = Field(
        None, description="others: no other process of this name lives; their leases end at once"
    )


class Act(Body):
    """Why an operator acts."""

    reason: Text | None = None


class Registered(View):
    """A process is registered."""

    name: str
    session: UUID
    released: list[UUID] = Field(description="runs whose lease an earlier process had")


class ExecutorView(View):
    """A process that claims and executes runs."""

    name: str
    session: UUID
    version: str | None
    slots: int | None
    in_flight: int
    queues: list[str]
    step_types: list[str]
    labels: dict[str, str]
    url: str | None
    state: Literal["active", "draining", "quarantined"]
    reason: str | None
    registered_at: datetime
    seen_at: datetime


class ExecutorList(View):
    """Executors by name."""

    items: list[ExecutorView]

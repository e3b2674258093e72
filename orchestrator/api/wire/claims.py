"""Claims: the wish for runs, and the dispatches that answer it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from orchestrator.api.wire.members import Body, Id, Json, LeaseSeconds, Name, View
from orchestrator.api.wire.runs import RunView


class ClaimRequest(Body):
    """A wish for up to `limit` runs. The same `requestId` and body get the same runs again."""

    session: Id
    request_id: Id
    queues: Annotated[list[Name], Field(min_length=1, max_length=100)]
    limit: int = Field(1, ge=1, le=500)
    lease_seconds: LeaseSeconds = 30
    wait_seconds: int = Field(0, ge=0, le=30, description="wait so long for a first run")
    executor: Name | None = Field(None, description="the instance among this token's executors")


class RunClaimRequest(Body):
    """A wish for one run, with the input that it waits for."""

    session: Id
    request_id: Id
    lease_seconds: LeaseSeconds = 30
    input: Json = None
    executor: Name | None = None

    @property
    def has_input(self) -> bool:
        """Whether an input was sent; null is one."""
        return "input" in self.model_fields_set


class StepView(View):
    """What a handler is to execute."""

    index: int
    name: str
    type: str
    params: Json
    input: Json = Field(description="the run's input; for a resumed step the resume's")
    outputs: Json = Field(description="outputs of the steps it uses, by name")
    resumed: bool
    mutating: bool
    timeout_seconds: float | None
    idempotency_key: str


class LeaseView(View):
    """The right to execute a run until it expires."""

    id: UUID
    fence: int
    expires_at: datetime
    seconds: int


class Dispatch(View):
    """A run, its current step and the lease, for the holder only."""

    run: RunView
    step: StepView
    lease: LeaseView


class RunClaimed(Dispatch):
    """The dispatch of a claim by id."""

    replayed: bool


class OutOfService(View):
    """Why an executor gets nothing.

    `draining` or `quarantined`: until it is resumed. `full`: it holds twice its slots, until it
    has reported some of it.
    """

    state: str
    reason: str | None


class Claimed(View):
    """What a claim got."""

    dispatches: list[Dispatch]
    next_poll_after_ms: int
    replayed: bool
    out_of_service: OutOfService | None

"""Runs: what creates one, and what one looks like."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from orchestrator.api.wire.members import (
    BATCH_LIMIT_BYTES,
    Body,
    Instant,
    Json,
    Key,
    Name,
    Text,
    View,
)
from orchestrator.lifecycle import RunState

Budget = Annotated[int, Field(ge=1, le=100)]
Traceparent = Annotated[str, Field(pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")]


class RunCreation(Body):
    """One execution of a workflow, wanted."""

    workflow: Name
    input: Json = Field(default_factory=dict)
    queue: Name = "default"
    priority: int = Field(0, ge=-100, le=100, description="higher goes first")
    available_at: Instant | None = Field(None, description="not before; null for now")
    dedup_key: Key | None = Field(
        None, description="one live run for each queue, workflow and dedupKey"
    )
    on_conflict: Literal["refuse", "return"] = Field(
        "refuse", description="what to do when a live run has the dedupKey"
    )
    concurrency_key: Key | None = Field(
        None,
        description="of a queue's runs with the same key only so many are leased at once as its"
        " maxConcurrencyPerKey says, one unless it was set",
    )
    max_failures: Budget = 3
    max_crashes: Budget = 3
    traceparent: Traceparent | None = Field(
        None, description="W3C trace context; without it the request's header of that name counts"
    )


class BatchedRunCreation(RunCreation):
    """One run of a batch, with a key of its own."""

    idempotency_key: Key | None = None


class RunBatch(Body):
    """Up to 1000 runs, created all or none."""

    limit_bytes = BATCH_LIMIT_BYTES

    runs: Annotated[list[BatchedRunCreation], Field(min_length=1, max_length=1000)]


class Resumption(Body):
    """The input that a waiting run waits for."""

    input: Json


class Abortion(Body):
    """Why a run is ended."""

    reason: Text | None = None


class Resolution(Body):
    """What became of a mutating step whose outcome is unknown."""

    as_: Literal["done", "run-again", "abort"] = Field(alias="as")
    output: Json = None
    next: Name | None = Field(None, description="with done: the step to go on with, of several")


class RunError(View):
    """Why a run failed, or its step's last failure."""

    code: str
    message: str
    step_index: int


class RunView(View):
    """A run."""

    id: UUID
    workflow: str
    workflow_version: int | None
    queue: str
    step_queue: str
    run_state: RunState
    priority: int
    available_at: datetime | None
    step_index: int
    step_name: str
    input: Json
    output: Json
    error: RunError | None
    progress: Json
    attempt: int = Field(description="leases so far")
    failures: int = Field(description="errors reported of the current step")
    crashes: int = Field(description="leases that expired")
    max_failures: int
    max_crashes: int
    fence: int
    locked_by: str | None
    locked_at: datetime | None
    lease_expires_at: datetime | None
    mutating_since: datetime | None
    waiting_for: Json
    dedup_key: str | None
    concurrency_key: str | None
    traceparent: str | None
    abort_requested_at: datetime | None
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class CreatedRun(View):
    """One run of a batch, created or found."""

    id: UUID
    run_state: RunState
    created: bool


class CreatedRuns(View):
    """The runs of a batch, in the order asked."""

    runs: list[CreatedRun]


class RunPage(View):
    """Runs, newest first."""

    items: list[RunView]
    next_cursor: str | None


class RunEvent(View):
    """One entry of a run's ledger."""

    seq: int
    kind: str
    at: datetime
    from_state: RunState | None
    to_state: RunState
    fence: int | None
    executor: str | None
    actor: str | None
    request_id: str | None
    detail: Json


class RunEvents(View):
    """A run's ledger, oldest first."""

    items: list[RunEvent]


class RunRefusal(View):
    """One that was refused a run, or an act under a lease of it."""

    at: datetime
    code: str = Field(description="as in the problem that it was answered with")
    executor: str = Field(description="its full name; of a report or a renewal its token's name")
    on_behalf_of: str | None = Field(description="the token whose trigger it was, if it was one")


class RunRefusals(View):
    """Who was refused a run."""

    count: int = Field(description="how often anybody was")
    last: list[RunRefusal] = Field(description="the last five, newest first")


class RunStep(View):
    """One step of a run, as executed."""

    step_index: int
    name: str
    type: str
    state: str
    output: Json
    error: Json
    started_at: datetime
    finished_at: datetime | None


class RunSteps(View):
    """A run's steps, in the order executed."""

    items: list[RunStep]

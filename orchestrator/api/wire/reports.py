"""Reports: the outcomes of steps."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from orchestrator.api.wire.claims import Dispatch
from orchestrator.api.wire.members import (
    BATCH_LIMIT_BYTES,
    MAX_ITEMS_OF_A_BATCH,
    Body,
    Id,
    Instant,
    Json,
    Name,
    Text,
    View,
)

MAX_WAIT_SECONDS = 10 * 365 * 24 * 3600


class Success(Body):
    """The step is done."""

    status: Literal["success"]
    output: Json = None
    next: Name | None = None


class StepError(Body):
    """The step failed. `retryable` is true unless said otherwise, for mutating steps false."""

    status: Literal["error"]
    message: Text
    retryable: bool | None = None


class Unknown(Body):
    """A mutating step may or may not have happened."""

    status: Literal["unknown"]
    message: Text


class OnTimeout(Body):
    """The step to go on with when nobody answered in time."""

    next: Name


class Wait(Body):
    """What input a run waits for."""

    schema_: Json = Field(None, alias="schema")
    timeout_seconds: int | None = Field(None, ge=1, le=MAX_WAIT_SECONDS)
    on_timeout: Literal["fail"] | OnTimeout | None = None


class AwaitingInput(Body):
    """The step needs input from outside."""

    status: Literal["awaiting-input"]
    waiting_for: Wait


class Later(Body):
    """The step is to be executed again, not before a time."""

    status: Literal["later"]
    available_at: Instant


Outcome = Annotated[
    Success | StepError | Unknown | AwaitingInput | Later, Field(discriminator="status")
]


def as_sent(outcome: Success | StepError | Unknown | AwaitingInput | Later) -> dict[str, Any]:
    """An outcome's members as they were sent, and no others."""
    if isinstance(outcome, Success):
        # What nearly all are, and its members are JSON as they stand: no model has to write them.
        return {name: getattr(outcome, name) for name in outcome.model_fields_set}
    return outcome.model_dump(mode="json", by_alias=True, exclude_unset=True)


class Report(Body):
    """The outcome of one step under one lease."""

    lease_id: Id
    run_id: Id
    step_index: int = Field(ge=-(2**31), lt=2**31)
    outcome: Outcome


class Reports(Body):
    """Outcomes of steps, each judged on its own."""

    limit_bytes = BATCH_LIMIT_BYTES

    session: Id
    chain: bool = Field(True, description="go on with the run's next step under the same lease")
    reports: Annotated[list[Report], Field(max_length=MAX_ITEMS_OF_A_BATCH)]
    executor: Name | None = None


class ItemProblem(View):
    """Why one item of a batch was refused."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class ReportResult(View):
    """What became of one report."""

    run_id: UUID
    status: Literal[
        "finished",
        "continue",
        "pending",
        "waiting",
        "scheduled",
        "failed",
        "aborted",
        "refused",
    ]
    next: Dispatch | None
    replayed: bool
    problem: ItemProblem | None


class ReportResults(View):
    """Results in the order of the reports."""

    results: list[ReportResult]

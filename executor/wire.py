"""What the orchestrator answers, as far as the executor reads it.

Members that stand in an answer and not here are ignored: a newer orchestrator
may say more.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class _Answer(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )


class Run(_Answer):
    """The run that a step belongs to."""

    id: str
    workflow: str
    queue: str
    workflow_version: int | None = None
    input: Any = None
    priority: int = 0
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    traceparent: str | None = None
    created_at: datetime | None = None


class Step(_Answer):
    """The step to execute now."""

    index: int
    name: str
    type: str
    params: dict[str, Any] | None = None
    input: Any = None
    outputs: dict[str, Any] | None = None
    resumed: bool = False
    mutating: bool = False
    timeout_seconds: float | None = None
    idempotency_key: str


class Lease(_Answer):
    """The right to execute a run for so many seconds from when it was asked for."""

    id: str
    fence: int
    seconds: float


class Dispatch(_Answer):
    """What a claim hands out: run, current step, lease."""

    run: Run
    step: Step
    lease: Lease


class OutOfService(_Answer):
    """Why the orchestrator hands this executor nothing: an operator's word, or what it holds."""

    state: str
    reason: str | None = None


class Claimed(_Answer):
    """The answer to a claim from queues."""

    dispatches: tuple[Dispatch, ...]
    next_poll_after_ms: int = 0
    replayed: bool = False
    out_of_service: OutOfService | None = None


class Renewal(_Answer):
    """One lease with its new expiry; the executor counts on its own clock."""

    lease_id: str


class Renewed(_Answer):
    """The answer to a renewal: what is held on, what is gone, what shall stop."""

    renewed: tuple[Renewal, ...]
    lost: tuple[str, ...] = ()
    abort: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    orphans_kept: bool = False
    server_time: str


class Released(_Answer):
    """The answer to a release; a lease that was lost already is no error."""

    released: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class Problem(_Answer):
    """Why a request, or one item of a batch, was refused."""

    status: int = 0
    code: str = "unknown"
    detail: str | None = None
    title: str | None = None
    credential: str | None = None


ReportStatus = Literal[
    "finished", "continue", "pending", "waiting", "scheduled", "failed", "aborted", "refused"
]


class ReportResult(_Answer):
    """What a report has made of its run."""

    run_id: str
    status: ReportStatus
    next: Dispatch | None = None
    replayed: bool = False
    problem: Problem | None = None


class Reported(_Answer):
    """The answer to a batch of reports, in the order in which they were sent."""

    results: tuple[ReportResult, ...]


class Caller(_Answer):
    """Who stands behind a token."""

    name: str
    role: str
    queues: tuple[str, ...]

    def may_see(self, queue: str) -> bool:
        """Whether a queue is among the caller's; ``billing.*`` stands for a prefix."""
        return any(
            queue.startswith(own[:-1]) if own.endswith("*") else queue == own for own in self.queues
        )

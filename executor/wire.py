"""What the orchestrator answers, as far as the executor reads it.

Members that stand in an answer and not here are ignored: a newer orchestrator
may say more.
"""

from datetime import datetime
from typing import Any, Literal, TypeVar

import msgspec


class UnreadableError(Exception):
    """What came is no such answer. Its text says why, without what it held."""


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    """A part of an answer. Of a claimed run it is made in a quarter of a pydantic model's time."""


Read = TypeVar("Read", bound=Answer)


def read(kind: type[Read], body: bytes) -> Read:
    """
    An answer from its JSON.

    Raises:
        UnreadableError: It is no JSON, or a member is missing or of another type.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{kind.__name__}: {error}") from error


class Run(Answer, frozen=True):
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


class Step(Answer, frozen=True):
    """The step to execute now."""

    index: int
    name: str
    type: str
    idempotency_key: str
    params: dict[str, Any] | None = None
    input: Any = None
    outputs: dict[str, Any] | None = None
    resumed: bool = False
    mutating: bool = False
    timeout_seconds: float | None = None


class Lease(Answer, frozen=True):
    """The right to execute a run for so many seconds from when it was asked for."""

    id: str
    fence: int
    seconds: float


class Dispatch(Answer, frozen=True):
    """What a claim hands out: run, current step, lease."""

    run: Run
    step: Step
    lease: Lease


class OutOfService(Answer, frozen=True):
    """Why the orchestrator hands this executor nothing: an operator's word, or what it holds."""

    state: str
    reason: str | None = None


class Claimed(Answer, frozen=True):
    """The answer to a claim from queues."""

    dispatches: tuple[Dispatch, ...]
    next_poll_after_ms: int = 0
    replayed: bool = False
    out_of_service: OutOfService | None = None


class Renewal(Answer, frozen=True):
    """One lease with its new expiry; the executor counts on its own clock."""

    lease_id: str


class Renewed(Answer, frozen=True):
    """The answer to a renewal: what is held on, what is gone, what shall stop."""

    renewed: tuple[Renewal, ...]
    server_time: str
    lost: tuple[str, ...] = ()
    abort: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    orphans_kept: bool = False


class Released(Answer, frozen=True):
    """The answer to a release; a lease that was lost already is no error."""

    released: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class Problem(Answer, frozen=True):
    """Why a request, or one item of a batch, was refused."""

    status: int = 0
    code: str = "unknown"
    detail: str | None = None
    title: str | None = None
    credential: str | None = None


ReportStatus = Literal[
    "finished", "continue", "pending", "waiting", "scheduled", "failed", "aborted", "refused"
]


class ReportResult(Answer, frozen=True):
    """What a report has made of its run."""

    run_id: str
    status: ReportStatus
    next: Dispatch | None = None
    replayed: bool = False
    problem: Problem | None = None


class Reported(Answer, frozen=True):
    """The answer to a batch of reports, in the order in which they were sent."""

    results: tuple[ReportResult, ...]


class Caller(Answer, frozen=True):
    """Who stands behind a token."""

    name: str
    role: str
    queues: tuple[str, ...]

    def may_see(self, queue: str) -> bool:
        """Whether a queue is among the caller's; ``billing.*`` stands for a prefix."""
        return any(
            queue.startswith(own[:-1]) if own.endswith("*") else queue == own for own in self.queues
        )

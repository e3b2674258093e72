"""What Dibs refuses, by name.

Each class is one stable `code` of the wire. Its docstring is its title, so
the two cannot drift; the message says which run and what state was seen. A
category (the base class) decides the HTTP status, in `api/problems.py`; this
module knows no HTTP.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID


class DibsError(Exception):
    """Something that Dibs will not do."""

    code: ClassVar[str]

    def __init__(self, message: str, *, retry_after_seconds: float | None = None, **members: Any):
        """
        Args:
            message: One sentence for whoever asked.
            retry_after_seconds: When asking again may help, how soon.
            members: Further members of the problem document, by wire name.
        """
        super().__init__(message)
        self.message = message
        self.retry_after_seconds = retry_after_seconds
        self.members = members

    @classmethod
    def title(cls) -> str:
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0].rstrip(".")


# Categories.


class Invalid(DibsError):
    """The request cannot be understood."""


class Unauthenticated(DibsError):
    """Valid credentials are needed."""

    code = "unauthenticated"


class Forbidden(DibsError):
    """The credentials do not allow this."""


class Missing(DibsError):
    """There is no such thing here."""


class Conflict(DibsError):
    """The state does not allow this."""


class Gone(DibsError):
    """It is over."""


class Unprocessable(DibsError):
    """The request is well-formed but wrong."""


class TooMany(DibsError):
    """More is asked than can be answered now."""


class Unavailable(DibsError):
    """The service cannot do this now."""

    code = "unavailable"


# Who may.


class InsufficientScope(Forbidden):
    """The token's role or queues do not allow this."""

    code = "insufficient-scope"


# Runs.


class RunNotFound(Missing):
    """There is no such run."""

    code = "run-not-found"

    def __init__(self) -> None:
        # The same sentence for a run that does not exist and for one outside
        # the token's queues: whoever asks must not be able to tell them apart.
        super().__init__("There is no run with this id among the queues of this token.")


class NotFound(Missing):
    """There is no such resource."""

    code = "not-found"


class RunHeld(Conflict):
    """Another lease holds the run."""

    code = "run-held"

    def __init__(
        self,
        run_id: UUID,
        run_state: str,
        lease_expires_at: datetime | None,
        retry_after_seconds: float,
    ):
        super().__init__(
            f"Run {run_id} is {run_state} under a lease.",
            retry_after_seconds=retry_after_seconds,
            runId=str(run_id),
            runState=run_state,
            leaseExpiresAt=lease_expires_at,
        )


class RunNotClaimable(Conflict):
    """The run cannot be claimed in its present state."""

    code = "run-not-claimable"

    def __init__(
        self,
        run_id: UUID,
        run_state: str,
        gate: str,
        text: str,
        *,
        retry_after_seconds: float | None = None,
    ):
        super().__init__(
            f"Run {run_id} is {run_state}: {text}",
            retry_after_seconds=retry_after_seconds,
            runId=str(run_id),
            runState=run_state,
            gate=gate,
        )


class RunOver(Gone):
    """The run is over."""

    code = "run-over"

    def __init__(self, run_id: UUID, run_state: str):
        super().__init__(
            f"Run {run_id} is over: {run_state}.", runId=str(run_id), runState=run_state
        )


class StateConflict(Conflict):
    """The run's state does not allow this act."""

    code = "state-conflict"

    def __init__(self, run_id: UUID, run_state: str, act: str, text: str):
        super().__init__(
            f"Run {run_id} is {run_state}: {text}", runId=str(run_id), runState=run_state, act=act
        )


class RunAlreadyActive(Conflict):
    """A live run has the same dedupKey."""

    code = "run-already-active"


class IdempotencyKeyReused(Unprocessable):
    """The Idempotency-Key belongs to another body."""

    code = "idempotency-key-reused"


class IdempotencyKeyInvalid(Invalid):
    """The Idempotency-Key cannot be used."""

    code = "idempotency-key-invalid"


class RequestIdReused(Unprocessable):
    """The requestId belongs to another body."""

    code = "request-id-reused"


# Leases and reports.


class LeaseLost(Conflict):
    """The lease is no longer current."""

    code = "lease-lost"

    def __init__(self, run_id: UUID):
        # One sentence whatever became of the lease: no hint who holds the run now.
        super().__init__(f"This lease of run {run_id} is not yours now.", runId=str(run_id))


class DispatchOver(Forbidden):
    """What was handed over is no longer this executor's."""

    code = "dispatch-over"

    def __init__(self, number: int):
        # One sentence for whatever became of it, as of a lost lease.
        super().__init__(f"This step of run {number} is not yours to execute now.")


class OutcomeConflict(Conflict):
    """Another outcome is stored for this step under this lease."""

    code = "outcome-conflict"


class StepOutOfOrder(Conflict):
    """The run is at another step."""

    code = "step-out-of-order"


# The service itself.


class Overloaded(Unavailable):
    """The service is busy."""

    code = "overloaded"


class RateLimited(TooMany):
    """Ask less often."""

    code = "rate-limited"

    def __init__(self, message: str, *, retry_after_seconds: float, per_second: int | None = None):
        """
        Args:
            per_second: How many requests a second are allowed, when it is that which was exceeded.
        """
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.per_second = per_second


class OutcomeUnknown(Unavailable):
    """Whether the request took effect is not known."""

    code = "outcome-unknown"


# Reading what was sent.


class ValidationFailed(Unprocessable):
    """The request does not fit its schema."""

    code = "validation"

    def __init__(self, errors: list[dict[str, str]]):
        """
        Args:
            errors: One `{"path", "message"}` for each bad item.
        """
        worst = errors[0]
        super().__init__(
            f"{worst['path'] or 'The body'}: {worst['message']}"
            + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""),
            errors=errors,
        )


class InvalidCursor(Unprocessable):
    """The cursor was not made by this service for this token."""

    code = "invalid-cursor"

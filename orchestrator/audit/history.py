"""What the rules are given: a run as its row has it, its events, and its steps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from orchestrator.lifecycle import Ending


class Kind(StrEnum):
    """What an event of the ledger says that happened, but for a lease's `Ending`."""

    CREATED = "created"
    DUE = "due"
    CLAIMED = "claimed"
    STARTED = "started"
    STEP_STARTED = "step-started"
    REPORTED = "reported"
    ABORT_REQUESTED = "abort-requested"
    ABORTED = "aborted"
    RETRIED = "retried"
    RESUMED = "resumed"
    RESOLVED = "resolved"
    TIMED_OUT = "timed-out"


ENDINGS = frozenset(ending.value for ending in Ending)


@dataclass(frozen=True, slots=True)
class Run:
    """
    A run as its row has it.

    Attributes:
        overdue_seconds: For how long its lease should have been taken back, while a
            keeper was awake that could; None for a run that nobody holds, and while
            an amnesty lasts or no keeper ticks.
    """

    id: UUID
    state: str
    version: int
    step_index: int
    attempt: int
    fence: int
    lease_id: UUID | None
    executor: str | None
    overdue_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """
    One line of a run's ledger.

    Attributes:
        granted: Of a claim whose request is still remembered: whether the request
            says that it got this lease.
        step_index, outcome, outcome_hash, next_step: From its detail.
        as_: What a `resolve` said, from its detail; None: it was not kept yet. Of a retry:
            whether it says that it goes on under the next number.
    """

    seq: int
    kind: str
    at: datetime
    from_state: str | None
    to_state: str
    lease_id: UUID | None = None
    fence: int | None = None
    executor: str | None = None
    request_id: str | None = None
    actor: str | None = None
    step_index: int | None = None
    outcome: str | None = None
    outcome_hash: str | None = None
    next_step: str | None = None
    as_: str | None = None
    granted: bool | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """The result of a step, or how far it got."""

    step_index: int
    state: str


@dataclass(frozen=True, slots=True)
class History:
    """All that is known of a run at one moment, events by number; `run` None: no row."""

    run_id: UUID
    run: Run | None
    events: tuple[Event, ...]
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """
    A lease that a claim request says it got, and what the ledger says of it.

    Attributes:
        run_exists: False when the run was pruned since.
        claimed_by, claimed_for: Token and request of the ledger's claim; None: no such claim.
    """

    token_name: str
    request_id: UUID
    run_id: UUID
    lease_id: UUID
    run_exists: bool
    claimed_by: str | None
    claimed_for: str | None


def token_of(executor: str | None) -> str | None:
    """Whose executor this is: a full name is <token's name>[:<instance>]."""
    return None if executor is None else executor.partition(":")[0]

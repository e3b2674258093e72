"""Leases: keep them, give them back, mark a mutating step begun."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from orchestrator.api.wire.members import (
    LEASES_LIMIT_BYTES,
    MAX_ITEMS_OF_A_BATCH,
    Body,
    Id,
    Instant,
    Json,
    LeaseSeconds,
    Name,
    View,
)

ReleaseReason = Annotated[str, Field(min_length=1, max_length=200)]


class RenewedLease(Body):
    """A lease that the executor holds, and how far its work is."""

    lease_id: Id
    run_id: Id
    progress: Json = None


class Renewal(Body):
    """All that an executor holds and still waits for. What it does not name may be an orphan."""

    limit_bytes = LEASES_LIMIT_BYTES

    session: Id
    leases: Annotated[list[RenewedLease], Field(max_length=MAX_ITEMS_OF_A_BATCH)]
    claiming: Annotated[list[Id], Field(max_length=MAX_ITEMS_OF_A_BATCH)] = Field(
        default_factory=list, description="requestIds of claims sent and not answered yet"
    )
    as_of: Instant | None = Field(
        None, description="serverTime of the last renewal answer; without it nothing is released"
    )
    lease_seconds: LeaseSeconds | None = Field(None, description="each lease's own by default")
    executor: Name | None = None


class HeldLease(Body):
    """A lease and its run."""

    lease_id: Id
    run_id: Id


class Release(Body):
    """Leases to give back unfinished."""

    limit_bytes = LEASES_LIMIT_BYTES

    session: Id
    leases: Annotated[list[HeldLease], Field(max_length=MAX_ITEMS_OF_A_BATCH)]
    reason: ReleaseReason = "draining"
    executor: Name | None = None


class StepStart(Body):
    """The lease under which a mutating step begins."""

    lease_id: Id
    session: Id
    executor: Name | None = None


class RenewedView(View):
    """A lease that was renewed."""

    lease_id: UUID
    expires_at: datetime


class Renewed(View):
    """What became of each lease named, and which orphans were freed."""

    renewed: list[RenewedView]
    lost: list[UUID]
    abort: list[UUID] = Field(description="leases whose run is to be aborted; also in `renewed`")
    released: list[UUID] = Field(description="runs whose lease was an orphan of this session")
    orphans_kept: bool = Field(
        description="this session has orphans that may not be freed yet: after an outage nothing"
        " is taken from anyone. Ask again"
    )
    server_time: datetime


class Released(View):
    """What became of each lease given back."""

    released: list[UUID]
    lost: list[UUID]


class Started(View):
    """The write-ahead of a mutating step is stored."""

    started: bool

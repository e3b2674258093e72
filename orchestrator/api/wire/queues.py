"""Queues: their depth, and whether they are paused."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from orchestrator.api.wire.members import Body, View

Limit = Annotated[int, Field(ge=1, le=1_000_000)]


class QueueLimits(Body):
    """What a queue is to allow; what is left out is not limited."""

    max_concurrency: Limit | None = Field(
        None, description="leases at once, of runs that are claimed from it"
    )
    rate_per_second: Limit | None = Field(None, description="leases granted in any one second")
    max_concurrency_per_key: Limit | None = Field(
        None,
        description="of the runs that belong to it, how many of one concurrencyKey are leased at"
        " once; null is one",
    )


class QueueView(View):
    """A queue as it stands."""

    name: str
    paused: bool
    max_concurrency: int | None
    rate_per_second: int | None
    max_concurrency_per_key: int | None
    depth: dict[str, int] = Field(
        description="live runs by state, where their current step is claimed; of each state"
        " 10,000 are counted, or fewer when more than ten queues have more than a hundred"
    )
    capped: list[str] = Field(description="the states of which there are more than is told")
    gated: int = Field(description="of those pending, those whose concurrencyKey has no place")
    leases_expired: int = Field(description="leases that have run out and were not taken yet")
    oldest_pending_seconds: float | None = Field(
        description="for how long the oldest has been due of those that are claimed next"
    )
    executors: int = Field(description="executors that serve it")
    wanted_executors: int = Field(
        description="how many executors its leases and what could be claimed now would keep busy,"
        " with as many slots each as those have that serve it or did last (else 1)"
    )
    slots: int = Field(description="of the executors that serve it and say how many they have")
    slots_busy: int = Field(description="leases that these hold, of whatever queue")
    counted_at: datetime = Field(
        description="when the figures were counted: once for all who ask within a second or more;"
        " pause and limits are always as they are now"
    )


class Paused(View):
    """Whether a queue is paused now."""

    name: str
    paused: bool


class QueueList(View):
    """Queues by name."""

    items: list[QueueView]

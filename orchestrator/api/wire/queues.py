"""Queues: their depth, and whether they are paused."""

from __future__ import annotations

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
    depth: dict[str, int] = Field(description="live runs by state")
    oldest_pending_seconds: float | None
    executors: int = Field(description="executors that serve it")


class Paused(View):
    """Whether a queue is paused now."""

    name: str
    paused: bool


class QueueList(View):
    """Queues by name."""

    items: list[QueueView]

"""Queues: their depth, and whether they are paused."""

from __future__ import annotations

from pydantic import Field

from orchestrator.api.wire.members import View


class QueueView(View):
    """A queue as it stands."""

    name: str
    paused: bool
    max_concurrency: int | None
    rate_per_second: int | None
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

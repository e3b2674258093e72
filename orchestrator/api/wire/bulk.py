"""Bulk acts: one act on every run of a filter."""

from __future__ import annotations

from pydantic import Field, field_validator

from orchestrator.api.wire.members import Body, Text, View
from orchestrator.api.wire.queries import RunsFilter


class BulkAct(Body):
    """Which runs, and whether to act on them or only to count them."""

    filter: RunsFilter = Field(
        description="as the list's; at least one member",
        examples=[{"queue": "billing", "state": "pending,scheduled"}],
    )
    dry_run: bool = Field(default=False, description="count what matches, and change nothing")

    @field_validator("filter")
    @classmethod
    def _narrows(cls, wanted: RunsFilter) -> RunsFilter:
        if not any(wanted.filters().values()):
            raise ValueError("must name at least one of state, queue, workflow, …")
        return wanted


class BulkAbortion(BulkAct):
    """Which runs to abort, and why."""

    reason: Text | None = None


class BulkActed(View):
    """What became of the runs so far."""

    matched: int = Field(
        description="runs of the filter: changed, refused, or as asked for already"
    )
    changed: int
    refused: int = Field(description="runs whose state does not allow the act")
    more: bool = Field(description="time was up: the same request with its key goes on")
    idempotency_key: str | None = Field(
        description="the key to go on with or repeat by: the one sent, else one made here"
    )

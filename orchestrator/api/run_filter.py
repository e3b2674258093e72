"""A filter of runs, from the wire to the store."""

from __future__ import annotations

from orchestrator.api.wire.queries import RunsFilter
from orchestrator.store.run_filter import RunFilter


def run_filter(asked: RunsFilter) -> RunFilter:
    """What the store is asked for."""
    return RunFilter(
        states=tuple(sorted(asked.state or ())),
        queue=asked.queue,
        workflow=asked.workflow,
        executor=asked.executor,
        created_after=asked.created_after,
    )

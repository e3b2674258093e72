"""Who sees which run: one that a token does not cover is like one that is not there."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from orchestrator.errors import RunNotFound
from orchestrator.lifecycle import covers
from orchestrator.store import runs
from orchestrator.store.records import Run


def visible_run(connection: Connection, run_id: UUID, queue_patterns: tuple[str, ...]) -> Run:
    """
    A run of these queues.

    A run's queue is for life, so that what was visible stays so.

    Raises:
        RunNotFound: There is no such run, or it is of another queue.
    """
    run = runs.find(connection, run_id)
    if run is None or not covers(queue_patterns, run.queue):
        raise RunNotFound
    return run

"""Waiting for a run: answered when it is over or waiting, or when the time is up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from uuid import UUID

from orchestrator.desk.visibility import visible_run
from orchestrator.lifecycle import OVER, RunState
from orchestrator.store.engine import Database
from orchestrator.store.patience import new_patience
from orchestrator.store.records import Run
from orchestrator.store.transaction import transact

LOOK_AGAIN_SECONDS = 0.25


class RunWatch:
    """One process's waiting readers; bounded, beyond the bound nobody waits."""

    def __init__(self, database: Database, *, limit: int, draining: threading.Event):
        self._database = database
        self._places = threading.BoundedSemaphore(max(1, limit))
        self._draining = draining

    def run(
        self, run_id: UUID, queue_patterns: Callable[[], tuple[str, ...]], *, wait_seconds: float
    ) -> Run:
        """
        A run as it is when it is over or waiting, or when the time is up.

        Args:
            queue_patterns: What the reader may see; asked before each look, and may refuse.

        Raises:
            RunNotFound: There is no such run among these queues.
        """
        run = self._look(run_id, queue_patterns())
        if wait_seconds <= 0 or _rests(run) or not self._places.acquire(blocking=False):
            return run
        try:
            deadline = time.monotonic() + wait_seconds
            while not _rests(run) and (left := deadline - time.monotonic()) > 0:
                if self._draining.wait(min(left, LOOK_AGAIN_SECONDS)):
                    break
                run = self._look(run_id, queue_patterns())
            return run
        finally:
            self._places.release()

    def _look(self, run_id: UUID, queue_patterns: tuple[str, ...]) -> Run:
        # Each look has its own: what passes between looks is not the database's time.
        with new_patience():
            return transact(
                self._database.work,
                lambda connection: visible_run(connection, run_id, queue_patterns),
            )


def _rests(run: Run) -> bool:
    return run.run_state in OVER or run.run_state == RunState.WAITING

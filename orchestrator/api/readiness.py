"""Readiness: the reasons why no request should come to this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

import psycopg
from sqlalchemy.exc import DBAPIError

from orchestrator import schema
from orchestrator.desk.snapshot_watch import OldSnapshot, SnapshotWatch
from orchestrator.errors import DibsError
from orchestrator.store.engine import open_engine
from orchestrator.store.transaction import transact

_KEPT_SECONDS: Final = 1.0
_SNAPSHOTS_KEPT_SECONDS: Final = 5.0

DRAINING: Final = "draining"
NO_DATABASE: Final = "database-unavailable"
SCHEMA_BEHIND: Final = "schema-behind"


class Readiness:
    """
    Knows whether this process is ready, and what will make its claims slow.

    The database is asked at most once a second however many ask here, over a
    connection of its own: a busy pool is no reason to be taken out of service.
    """

    def __init__(self, url: str, draining: threading.Event):
        self._url = url
        self._draining = draining
        self._lock = threading.Lock()
        self._asked_at = -_KEPT_SECONDS
        self._answer: list[str] = []
        self._engine = open_engine(url, connections=1, name="dibs-readiness")
        self._watch = SnapshotWatch()
        self._looked_at = -_SNAPSHOTS_KEPT_SECONDS
        self._old_snapshots: Sequence[OldSnapshot] = ()

    def reasons(self) -> list[str]:
        """Why not; empty when ready."""
        if self._draining.is_set():
            return [DRAINING]
        with self._lock:
            if time.monotonic() - self._asked_at >= _KEPT_SECONDS:
                self._answer = self._ask()
                self._asked_at = time.monotonic()
            return self._answer

    def old_snapshots(self) -> Sequence[OldSnapshot]:
        """
        Who has held an old snapshot for long, as of a few seconds ago; no reason not to serve.

        Nobody is named by a process that is not ready.
        """
        if self.reasons():
            return ()
        with self._lock:
            if time.monotonic() - self._looked_at >= _SNAPSHOTS_KEPT_SECONDS:
                self._old_snapshots = self._look()
                self._looked_at = time.monotonic()
            return self._old_snapshots

    def _ask(self) -> list[str]:
        try:
            stands = schema.status(self._url)
        except psycopg.Error:
            return [NO_DATABASE]
        return [SCHEMA_BEHIND] if stands.is_behind else []

    def _look(self) -> Sequence[OldSnapshot]:
        try:
            return transact(self._engine, self._watch.old)
        except (DibsError, DBAPIError):
            return ()
        finally:
            # Its one connection is not kept between looks.
            self._engine.dispose()

"""Readiness: the reasons why no request should come to this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

import psycopg
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from orchestrator import schema
from orchestrator.desk.snapshot_watch import OldSnapshot, SnapshotWatch
from orchestrator.errors import DibsError
from orchestrator.store.engine import open_connection, open_engine
from orchestrator.store.known_primary import KnownPrimary
from orchestrator.store.serving_role import Excess, excess
from orchestrator.store.transaction import transact

_NAME: Final = "dibs-readiness"
_KEPT_SECONDS: Final = 1.0
_LOOK_KEPT_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)

DRAINING: Final = "draining"
NO_DATABASE: Final = "database-unavailable"
READ_ONLY: Final = "database-read-only"
SUPERSEDED: Final = "database-superseded"
SCHEMA_BEHIND: Final = "schema-behind"


class Readiness:
    """
    Knows whether this process is ready, and what will make its claims slow.

    The database is asked at most once a second however many ask here, over a
    connection of its own: a busy pool is no reason to be taken out of service.
    """

    def __init__(self, url: str, draining: threading.Event, primary: KnownPrimary | None = None):
        """
        Args:
            primary: What the process has seen of the database's servers.
        """
        self._url = url
        self._primary = primary or KnownPrimary()
        self._draining = draining
        self._lock = threading.Lock()
        self._asked_at = -_KEPT_SECONDS
        self._answer: list[str] = []
        self._engine = open_engine(url, connections=1, name=_NAME, primary=self._primary)
        self._watch = SnapshotWatch()
        self._looked_at = -_LOOK_KEPT_SECONDS
        self._old_snapshots: Sequence[OldSnapshot] = ()
        self._has_looked = False
        self._excess: Excess | None = None

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
            self._look_again()
            return self._old_snapshots

    def warnings(self) -> list[str]:
        """
        What somebody should change, as of a few seconds ago; no reason not to serve.

        The role: as a superuser or the tables' owner the service works, but nothing in
        the database keeps it from changing the ledger. It is no reason, because a login
        that may make no roles has no other, and an upgrade must not end a service.
        """
        if self.reasons():
            return []
        with self._lock:
            self._look_again()
            return [self._excess] if self._excess else []

    def warn(self) -> None:
        """Log the warnings as soon as the database can be asked."""
        while not self._draining.is_set():
            self.warnings()
            if self._has_looked:
                return
            self._draining.wait(_LOOK_KEPT_SECONDS)

    def _ask(self) -> list[str]:
        try:
            stands = schema.status(self._url)
        except psycopg.Error:
            return [NO_DATABASE]
        if stands.is_read_only:
            return [READ_ONLY]
        if not self._primary.see(stands.timeline) and not self._reaches_newest():
            return [SUPERSEDED]
        return [SCHEMA_BEHIND] if stands.is_behind else []

    def _reaches_newest(self) -> bool:
        """Whether one of the servers in the URL is the one that took over."""
        try:
            open_connection(self._url, name=_NAME, primary=self._primary).close()
        except psycopg.Error:
            return False
        return True

    def _look_again(self) -> None:
        """Look, unless that was a few seconds ago; what cannot be seen now is not there."""
        if time.monotonic() - self._looked_at < _LOOK_KEPT_SECONDS:
            return
        try:
            self._old_snapshots, found = transact(self._engine, self._look)
        except (DibsError, DBAPIError):
            self._old_snapshots = ()
        else:
            if found and found is not self._excess:
                log.warning("role_may_do_too_much", why=found.value)
            self._excess, self._has_looked = found, True
        finally:
            # Its one connection is not kept between looks.
            self._engine.dispose()
        self._looked_at = time.monotonic()

    def _look(self, connection: Connection) -> tuple[Sequence[OldSnapshot], Excess | None]:
        return self._watch.old(connection), excess(connection)

"""Readiness: the reasons why no request should come to this process."""

from __future__ import annotations

import threading
import time
from typing import Final

import psycopg

from orchestrator import schema

_KEPT_SECONDS: Final = 1.0

DRAINING: Final = "draining"
NO_DATABASE: Final = "database-unavailable"
SCHEMA_BEHIND: Final = "schema-behind"


class Readiness:
    """
    Knows whether this process is ready.

    The database is asked at most once a second however many ask here, over a
    connection of its own: a busy pool is no reason to be taken out of service.
    """

    def __init__(self, url: str, draining: threading.Event):
        self._url = url
        self._draining = draining
        self._lock = threading.Lock()
        self._asked_at = -_KEPT_SECONDS
        self._answer: list[str] = []

    def reasons(self) -> list[str]:
        """Why not; empty when ready."""
        if self._draining.is_set():
            return [DRAINING]
        with self._lock:
            if time.monotonic() - self._asked_at >= _KEPT_SECONDS:
                self._answer = self._ask()
                self._asked_at = time.monotonic()
            return self._answer

    def _ask(self) -> list[str]:
        try:
            stands = schema.status(self._url)
        except psycopg.Error:
            return [NO_DATABASE]
        return [SCHEMA_BEHIND] if stands.is_behind else []

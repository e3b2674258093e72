"""The alarm: rings for queues at a time to come, when their rate allows more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import structlog

log = structlog.get_logger(__name__)

# It sees so late that the process ends.
LONGEST_SLEEP_SECONDS = 1.0


class Alarm:
    """One process's alarm; its thread begins with the first that is set."""

    def __init__(
        self, ring: Callable[[Mapping[str, int]], object], draining: threading.Event
    ) -> None:
        self._ring = ring
        self._draining = draining
        self._changed = threading.Condition()
        self._set: dict[str, tuple[float, int]] = {}
        self._thread: threading.Thread | None = None

    def set(self, queue: str, *, after_seconds: float, runs: int) -> None:
        """Ring for a queue, unless that is to be done before: whoever is called sets the next."""
        at = time.monotonic() + after_seconds
        with self._changed:
            if queue in self._set and self._set[queue][0] <= at:
                return
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="alarm", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    # Too many threads: the lookout finds what is free, a little later.
                    log.warning("alarm_cannot_start")
                    return
                self._thread = thread
            self._set[queue] = (at, runs)
            self._changed.notify()

    def _run(self) -> None:
        while not self._draining.is_set():
            due = self._next()
            if due:
                try:
                    self._ring(due)
                except Exception:
                    log.exception("alarm_failed")

    def _next(self) -> dict[str, int]:
        """What is due; sleeps first when nothing is."""
        with self._changed:
            now = time.monotonic()
            due = {queue: runs for queue, (at, runs) in self._set.items() if at <= now}
            for queue in due:
                del self._set[queue]
            if not due:
                soonest = min((at for at, _ in self._set.values()), default=now + 1e9)
                self._changed.wait(min(soonest - now, LONGEST_SLEEP_SECONDS))
            return due

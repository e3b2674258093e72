"""The lookout: a thread that looks for all that are parked, once in a while."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from orchestrator.errors import DibsError

log = structlog.get_logger(__name__)


class Lookout:
    """Begins with the first that parks; when the process drains, ends the parking and itself."""

    def __init__(
        self,
        look: Callable[[], None],
        end: Callable[[], None],
        draining: threading.Event,
        *,
        every_seconds: Callable[[], float],
    ) -> None:
        self._look = look
        self._end = end
        self._draining = draining
        self._every_seconds = every_seconds
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self) -> bool:
        """See to it that somebody looks; False when there is no thread to be had for it now."""
        if self._thread is not None:
            return True
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="lookout", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    log.warning("lookout_cannot_start", reason=str(error))
                    return False
                self._thread = thread
        return True

    def _run(self) -> None:
        while not self._draining.wait(self._every_seconds()):
            try:
                self._look()
            except DibsError as refusal:
                log.debug("lookout_cannot_look", reason=refusal.message)
            except Exception:
                log.exception("lookout_failed")
        self._end()

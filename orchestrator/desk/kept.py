"""What one look at the database found, kept for all who ask within some seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from orchestrator.errors import Unavailable

Found = TypeVar("Found")

# As long as a request waits for the database.
PATIENCE_SECONDS: Final = 4.5


@dataclass(frozen=True, slots=True)
class _Look(Generic[Found]):
    found: Found
    at: float


class Kept(Generic[Found]):
    """
    The last look; one thread at a time looks, and the others are given what there is.

    Args:
        seconds: For so long a look is good.
        patience_seconds: Who can be given nothing waits for so long for somebody else's look.
    """

    def __init__(
        self,
        look: Callable[[], Found],
        *,
        seconds: float,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._look = look
        self._seconds = seconds
        self._patience_seconds = patience_seconds
        self._looking = threading.Lock()
        self._last: _Look[Found] | None = None

    def now(self) -> Found:
        """
        What was found last, looked for again when that is too long ago.

        Raises:
            Unavailable: Nothing has been found yet, and the first look takes too long.
        """
        last = self._last
        if last is not None and self._is_good(last):
            return last.found
        patience = self._patience_seconds if last is None else 0
        if not self._looking.acquire(timeout=patience):
            if last is None:
                raise Unavailable("The database is slow.", retry_after_seconds=1)
            return last.found
        try:
            last = self._last
            if last is None or not self._is_good(last):
                last = self._last = _Look(self._look(), time.monotonic())
            return last.found
        finally:
            self._looking.release()

    def _is_good(self, look: _Look[Found]) -> bool:
        return time.monotonic() - look.at < self._seconds

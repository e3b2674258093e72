"""Signs of life: who claimed or renewed lately, written once a second in one statement."""

from __future__ import annotations

import threading
from uuid import UUID


class SignsOfLife:
    """The sessions that this process has heard of since they were last written down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: set[tuple[str, UUID]] = set()

    def note(self, full_name: str, session: UUID) -> None:
        with self._lock:
            self._seen.add((full_name, session))

    def take(self) -> set[tuple[str, UUID]]:
        """Every session noted since the last take."""
        with self._lock:
            seen, self._seen = self._seen, set()
        return seen

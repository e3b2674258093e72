"""The requests that this process has seen lately, to know a repeat when it comes."""

from __future__ import annotations

from collections.abc import Hashable

REMEMBERED = 20_000


class FirstCopies:
    """Keys of requests, the last so many. A hint: a repeat may reach another process."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, None] = {}

    def note(self, key: Hashable) -> bool:
        """Remember a key, and say whether it was not known."""
        if key in self._seen:
            return False
        if len(self._seen) >= REMEMBERED:
            # The oldest half at once: rarely, and never one by one under load.
            self._seen = dict.fromkeys(list(self._seen)[REMEMBERED // 2 :])
        self._seen[key] = None
        return True

"""Which of the database's servers one process has seen to be the primary.

libpq asks the servers of a URL in their order and is content with the first that writes.
One that hangs costs each new connection its time-out, and one that another has taken over
from writes, too: what one connection has found out is good for all.
"""

from __future__ import annotations

import threading

from orchestrator.store.timeline import Timeline


class KnownPrimary:
    """
    What one process knows, by the connections that it has opened.

    Attributes:
        server: Host and port that a connection was opened to last; None when none was
            since one that led there turned out dead.
    """

    def __init__(self) -> None:
        self.server: tuple[str, int] | None = None
        self._newest: Timeline | None = None
        self._lock = threading.Lock()

    def forget(self, server: tuple[str, int] | None) -> None:
        """A connection to this server turned out dead."""
        if self.server == server:
            self.server = None

    def see(self, timeline: Timeline | None) -> bool:
        """Whether a server on this timeline may be served from; it is remembered then."""
        with self._lock:
            if self.has_superseded(timeline):
                return False
            if timeline is not None:
                self._newest = timeline
            return True

    def has_superseded(self, timeline: Timeline | None) -> bool:
        """Whether a server of the same cluster was seen on a newer one."""
        newest = self._newest
        return (
            newest is not None
            and timeline is not None
            and timeline.number < newest.number
            and timeline.system == newest.system
        )

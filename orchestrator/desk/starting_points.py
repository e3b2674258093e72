"""Starting points: from where claims look along a queue while somebody holds an old snapshot.

Until the snapshot is gone nothing can remove the index entries of runs that were claimed
since, and they stand in front of the first that can be: a claim would step over all of
them. So this process remembers how far it has come in each queue, and its claims begin
there. What comes to stand before that point (a higher priority, a run that came back) is
found by a look of its own, once a second, and a claim that found nothing looks at all.

While nobody holds an old snapshot no point is remembered, and claims look from the front.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime

from orchestrator.desk.snapshot_watch import SnapshotWatch
from orchestrator.store import claims
from orchestrator.store.engine import Database
from orchestrator.store.transaction import transact

WATCH_EVERY_SECONDS = 10.0
LOOK_EVERY_SECONDS = 1.0
# Names of queues are free to choose.
REMEMBERED_QUEUES = 10_000


class StartingPoints:
    """One process's starting points, by queue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._points: dict[str, datetime] = {}
        self._watch = SnapshotWatch()
        self._in_use = False
        self._watched_at = self._looked_at = float("-inf")

    def of(self, queue: str) -> datetime | None:
        """The claimKey at which a claim of this queue begins; None for the first there is."""
        return self._points.get(queue)

    def move(self, queue: str, *, used: datetime | None, to: datetime | None) -> None:
        """
        Remember what a claim has seen: nothing can be claimed before `to`.

        Changes nothing when the point that it used is not the present one any more: a look
        has found something before it.

        Args:
            to: None when there is nothing at all.
        """
        with self._lock:
            if not self._in_use or self._points.get(queue) != used:
                return
            if to is None:
                self._points.pop(queue, None)
            elif queue in self._points or len(self._points) < REMEMBERED_QUEUES:
                self._points[queue] = to

    def refresh(self, database: Database) -> None:
        """
        Look whether points are needed, and what has come before them; to be called often.

        Raises:
            DibsError: The database is away or busy.
        """
        now = time.monotonic()
        if now - self._watched_at >= WATCH_EVERY_SECONDS:
            self._watched_at = now
            in_use = bool(transact(database.leases, self._watch.old))
            with self._lock:
                self._in_use = in_use
                if not in_use:
                    self._points.clear()
        if self._points and now - self._looked_at >= LOOK_EVERY_SECONDS:
            self._looked_at = now
            queues = sorted(self._points)
            firsts = transact(
                database.leases, lambda connection: claims.first_keys(connection, queues)
            )
            with self._lock:
                for queue, first in firsts.items():
                    if queue in self._points:
                        self._points[queue] = min(first, self._points[queue])

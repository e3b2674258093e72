"""The line over which processes tell each other that runs have come: LISTEN and NOTIFY.

It is a connection of its own, outside of every run's transaction: a NOTIFY takes
a lock of the whole database when it commits. Every error of psycopg means that
the line is cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

import orjson

from orchestrator.store.connection import BoundedConnection
from orchestrator.store.engine import open_connection

# A payload has to be shorter than 8,000 bytes; a queue's name has 63 at most.
QUEUES_PER_MESSAGE = 90


class BellLine:
    """
    One process's end of the line.

    Attributes:
        hears: Whether what others tell arrives. Behind a pooler it does not: what
            listens there is not this connection.
    """

    def __init__(self, url: str, *, name: str = "dibs-bell") -> None:
        """
        Connect, and listen.

        Raises:
            psycopg.Error: The database cannot be reached, or is a standby.
        """
        self._connection: BoundedConnection = open_connection(url, name=name)
        self._connection.autocommit = True
        self.hears = not self._connection.pooled
        if self.hears:
            self._connection.execute("LISTEN dibs_bell")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    def fileno(self) -> int:
        """For a selector: it is readable when somebody has told something."""
        return self._connection.fileno()

    def tell(self, arrived: Mapping[str, int]) -> None:
        """Tell the others that so many runs have become claimable in these queues."""
        queues = list(arrived.items())
        for first in range(0, len(queues), QUEUES_PER_MESSAGE):
            message = dict(queues[first : first + QUEUES_PER_MESSAGE])
            self._connection.execute(
                "SELECT pg_notify('dibs_bell', %s)", [orjson.dumps(message).decode()]
            )

    def told(self) -> Iterator[Mapping[str, int]]:
        """What others have told since; what is no message of this kind is passed over."""
        own = self._connection.info.backend_pid
        for notification in self._connection.notifies(timeout=0):
            if notification.pid == own:
                continue
            try:
                message = orjson.loads(notification.payload)
                yield {str(queue): int(runs) for queue, runs in message.items()}
            except (ValueError, AttributeError, TypeError):
                continue

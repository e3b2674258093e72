"""How long a transaction waits for another one's locks, when it serves several requests."""

from __future__ import annotations

from sqlalchemy import Connection

from orchestrator.store.sql import text


def wait_briefly(connection: Connection) -> None:
    """
    Give up after a tenth of a second on whatever another transaction holds.

    The server's deadlock detection is slower, so two that hold each other up part by this.
    """
    connection.execute(text("SET LOCAL lock_timeout = '100ms'"))

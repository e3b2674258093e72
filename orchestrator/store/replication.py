"""What a COMMIT must be able to promise when its transaction has only read."""

from __future__ import annotations

from sqlalchemy import Connection

from orchestrator.store.sql import text


def vouch(connection: Connection) -> None:
    """
    Let this transaction's COMMIT be answered only when all that came before is safe.

    With a synchronous standby a COMMIT waits for it only if it wrote. A
    transaction that was cut off in that wait is visible all the same, so an
    answer that repeats what it finds must write, too: a few bytes to the
    write-ahead log, and to no table.
    """
    connection.execute(text("SELECT pg_logical_emit_message(true, 'dibs', '')"))

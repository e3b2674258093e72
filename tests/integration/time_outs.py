"""The time-outs of the service's sessions, as Postgres knows them."""

from __future__ import annotations

from sqlalchemy import Connection, text

TIME_OUTS = {
    "statement_timeout": "5000",
    "lock_timeout": "4000",
    "idle_in_transaction_session_timeout": "5000",
}


def settings_of(connection: Connection) -> tuple[int, dict[str, tuple[str, str]]]:
    """The backend of this transaction, and its time-outs with where they come from."""
    rows = connection.execute(
        text("SELECT name, setting, source FROM pg_settings WHERE name = ANY (:names)"),
        {"names": list(TIME_OUTS)},
    )
    found = {row.name: (row.setting, row.source) for row in rows}
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return pid, found

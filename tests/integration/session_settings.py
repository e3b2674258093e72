"""The settings of the service's sessions, as Postgres knows them: time-outs, and how it plans."""

from __future__ import annotations

from sqlalchemy import Connection, text

SETTINGS = {
    "statement_timeout": "5000",
    "lock_timeout": "4000",
    "idle_in_transaction_session_timeout": "5000",
    "enable_seqscan": "off",
    "jit": "off",
}


def settings_of(connection: Connection) -> tuple[int, dict[str, tuple[str, str]]]:
    """The backend of this transaction, and its settings with where they come from."""
    rows = connection.execute(
        text("SELECT name, setting, source FROM pg_settings WHERE name = ANY (:names)"),
        {"names": list(SETTINGS)},
    )
    found = {row.name: (row.setting, row.source) for row in rows}
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return pid, found

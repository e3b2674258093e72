"""What must be true of every run's ledger at the end of a test."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from orchestrator.auditor.checked import Checked
from orchestrator.auditor.clients import audit_client_logs
from orchestrator.auditor.ledger import audit_ledger
from orchestrator.store.engine import open_engine


def check_ledgers(connection: psycopg.Connection, *client_logs: Path) -> Checked:
    """Hold every run of a database to the rules, and what these logs' clients were told."""
    known = connection.info.get_parameters() | {"password": connection.info.password}
    engine = open_engine(make_conninfo(**known), connections=1, name="ledger")
    checked = Checked()
    try:
        found = [
            *audit_ledger(engine, checked),
            *audit_client_logs(engine, checked, client_logs, retention_days=0),
        ]
    finally:
        engine.dispose()
    assert not found, "\n".join(map(str, found))
    return checked

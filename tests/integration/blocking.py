"""Proof that a session waits: what the server says of it, never a sleep."""

import time

import psycopg

PATIENCE_SECONDS = 4


def waits_for_a_lock(owner: psycopg.Connection) -> bool:
    """Whether a session of Dibs' comes to wait for a lock, within a few seconds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if waits_now(owner):
            return True
    return False


def waits_now(owner: psycopg.Connection) -> bool:
    """Whether a session of Dibs' waits for a lock at this moment."""
    # The view is a snapshot of the transaction's beginning unless it is dropped.
    owner.execute("SELECT pg_stat_clear_snapshot()")
    found = owner.execute(
        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'dibs%' AND wait_event_type = 'Lock'"
    )
    return found.rowcount > 0

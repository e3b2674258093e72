"""Rows written past Dibs: a run in any state, as the tables alone would have it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

RUN_ID = "01900000-0000-7000-8000-000000000001"
LEASE_ID = "aaaaaaaa-0000-4000-8000-000000000001"
SESSION = "bbbbbbbb-0000-4000-8000-000000000001"
THEN = "2026-01-01T00:00:00Z"

PENDING: dict[str, Any] = {
    "id": RUN_ID,
    "workflow": "refund",
    "queue": "default",
    "stepQueue": "default",
    "runState": "pending",
    "priority": 0,
    "availableAt": THEN,
    "claimKey": THEN,
    "stepIndex": 0,
    "stepName": "refund",
    "stepType": "refund",
    "input": "{}",
    "attempt": 0,
    "failures": 0,
    "crashes": 0,
    "releases": 0,
    "maxFailures": 3,
    "maxCrashes": 3,
    "fence": 5,
    "createdBy": "web",
    "createdAt": THEN,
    "version": 1,
}
LEASE = {
    "leaseId": LEASE_ID,
    "lockedBy": "fleet:one",
    "lockedSession": SESSION,
    "lockedAt": THEN,
    "leaseExpiresAt": THEN,
    "leaseSeconds": 30,
}
IN_STATE: dict[str, dict[str, Any]] = {
    "scheduled": {"runState": "scheduled"},
    "pending": {},
    "loading": {"runState": "loading", **LEASE},
    "started": {"runState": "started", **LEASE},
    "waiting": {"runState": "waiting", "waitingFor": '{"reason": "input"}'},
    "finished": {"runState": "finished", "finishedAt": THEN},
    "failed": {"runState": "failed", "finishedAt": THEN, "error": '{"code": "step-failed"}'},
    "aborted": {"runState": "aborted", "finishedAt": THEN},
}


def insert(connection: psycopg.Connection, table: str, row: dict[str, Any]) -> None:
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(map(sql.Placeholder, row)),
        ),
        row,
    )


def insert_run(connection: psycopg.Connection, state: str, **changes: Any) -> None:
    insert(connection, "workflowRuns", PENDING | IN_STATE[state] | changes)


def change_run(connection: psycopg.Connection, **changes: Any) -> None:
    """Change the one run, and number the change as every event does."""
    connection.execute(
        sql.SQL('UPDATE "workflowRuns" SET {}').format(
            sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
                for name in ({"version": 2} | changes)
            )
        ),
        {"version": 2} | changes,
    )

"""An orchestrator that serves that executor too: settings, definitions, numbers and leases."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import psycopg

from tests.acceptance.client import Client
from tests.compat.doubles import USER_ID
from tests.compat.workflows import Step

# Makes the secret of an executor, which is known by a word, for the queue of the test.
MakeSecret = Callable[[str], str]

# The user, as the recorded session had it.
RENDERING_ID = 5
COMPAT = {
    "DIBS_COMPAT": "true",
    "DIBS_COMPAT_USER_ID": str(USER_ID),
    "DIBS_COMPAT_USER_EMAIL": "u@example.test",
    "DIBS_COMPAT_RENDERING_ID": str(RENDERING_ID),
}
# By when a lease was granted so long ago that no request of before can be on its way.
LONG_AGO = "20 s"


def put(ops: Client, name: str, steps: list[Step]) -> None:
    """Make these steps the workflow of this name."""
    ops.ask("PUT", f"/v1/workflows/{name}", {"steps": steps})


def number_of(owner: psycopg.Connection, run_id: str) -> int:
    """What that executor knows a run by."""
    (number,) = owner.execute(
        'SELECT number FROM "compatRuns" WHERE "runId" = %s', [UUID(run_id)]
    ).fetchone() or (0,)
    assert number, f"{run_id} was never handed to that executor"
    return int(number)


def age_lease(owner: psycopg.Connection, run_id: str) -> None:
    """Let a lease have been granted long ago, which the schema lets nobody say of one."""
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute(
            'UPDATE "workflowRuns" SET "lockedAt" = "lockedAt" - CAST(%s AS interval)'
            ' WHERE id = %s AND "leaseId" IS NOT NULL',
            [LONG_AGO, UUID(run_id)],
        )


def take_lease(owner: psycopg.Connection, run_id: str) -> None:
    """Let a lease be over: the keeper takes it away."""
    owner.execute(
        """UPDATE "workflowRuns" SET "leaseExpiresAt" = clock_timestamp() - interval '1 s'"""
        ' WHERE id = %s AND "leaseId" IS NOT NULL',
        [UUID(run_id)],
    )

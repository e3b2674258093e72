"""The bare claim: what any queue on Postgres pays, without ledger, replay or guards.

A table with the columns, constraints and indexes of the runs, but without their
triggers; one statement for a claim, one for the end of what was claimed.
"""

import psycopg
from psycopg import sql

from tests.bench.backlog import QUEUE, RUNS
from tests.bench.pgbench import Script

TABLE = "bareRuns"
LEASE_SECONDS = 3_600

_CLAIM = f"""
WITH candidates AS MATERIALIZED (
  SELECT id FROM "{TABLE}"
   WHERE "stepQueue" = '{QUEUE}' AND "runState" = 'pending'
   ORDER BY "claimKey", id LIMIT {{limit}} FOR UPDATE SKIP LOCKED),
leased AS (
  UPDATE "{TABLE}" r SET "runState" = 'loading', "leaseId" = gen_random_uuid(),
      "lockedBy" = 'bench', "lockedSession" = '00000000-0000-4000-8000-000000000000',
      "lockedAt" = clock_timestamp(),
      "leaseExpiresAt" = clock_timestamp() + interval '{LEASE_SECONDS} s',
      "leaseSeconds" = {LEASE_SECONDS}
    FROM candidates c WHERE r.id = c.id AND r."runState" = 'pending'
  RETURNING r.id, r."leaseId")
SELECT array_agg(id)::text AS run_ids, array_agg("leaseId")::text AS lease_ids FROM leased
\\gset
"""

_FINISH = f"""
UPDATE "{TABLE}" r SET "runState" = 'finished', "leaseId" = NULL, "lockedBy" = NULL,
    "lockedSession" = NULL, "lockedAt" = NULL, "leaseExpiresAt" = NULL, "leaseSeconds" = NULL,
    "finishedAt" = clock_timestamp()
  FROM unnest(CAST(:run_ids AS uuid[]), CAST(:lease_ids AS uuid[])) AS h(id, lease)
 WHERE r.id = h.id AND r."leaseId" = h.lease;
"""


def claim_script(limit: int) -> Script:
    """One claim of so many runs."""
    return Script(_CLAIM.format(limit=limit))


def cycle_script(limit: int) -> Script:
    """One claim of so many runs, and one statement that finishes them."""
    return Script(_CLAIM.format(limit=limit) + _FINISH)


def create_table(owner: psycopg.Connection, service_role: str) -> None:
    """Make the table, stored as the real one is."""
    row = owner.execute(
        "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE relname = %s", [RUNS]
    ).fetchone()
    options = row[0] if row else ""
    names = {"bare": sql.Identifier(TABLE), "runs": sql.Identifier(RUNS)}
    owner.execute(
        sql.SQL(f"CREATE TABLE {{bare}} (LIKE {{runs}} INCLUDING ALL) WITH ({options})").format(
            **names
        )
    )
    owner.execute(
        sql.SQL("GRANT SELECT, UPDATE ON {bare} TO {role}").format(
            role=sql.Identifier(service_role), **names
        )
    )

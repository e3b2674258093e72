"""How many leases there ever were at the same time: what the ledger says."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

# One line for each lease: when it began and when it ended, by the database's clock.
_LEASES = """
SELECT e."leaseId", r.queue, r."concurrencyKey" AS key,
       min(e.at) FILTER (WHERE e.kind = 'claimed') AS began,
       max(e.at) FILTER (WHERE e."toState" NOT IN ('loading', 'started')) AS ended
  FROM "runEvents" e JOIN "workflowRuns" r ON r.id = e."runId"
 WHERE e."leaseId" IS NOT NULL GROUP BY e."leaseId", r.queue, r."concurrencyKey"
"""


def most_leases_at_once(owner: psycopg.Connection, *, of: Sequence[str]) -> int:
    """The most that one of these groups (`queue`, `key`) ever had at the same time."""
    group = ", ".join(of)
    row = owner.execute(
        f"""
WITH leases AS ({_LEASES}),
moments AS (
  SELECT queue, key, began AS at, 1 AS change FROM leases
  UNION ALL SELECT queue, key, ended, -1 FROM leases WHERE ended IS NOT NULL)
SELECT coalesce(max(held), 0) FROM (
  SELECT sum(change) OVER (PARTITION BY {group} ORDER BY at, change) AS held
    FROM moments WHERE queue IS NOT NULL AND ({group}) IS NOT NULL) counted
""".encode()
    ).fetchone()
    assert row is not None
    return int(row[0])


def most_grants_in_a_second(owner: psycopg.Connection, queue: str) -> int:
    """The most leases that were granted within any one second, wherever it begins."""
    row = owner.execute(
        f"""
WITH leases AS ({_LEASES})
SELECT coalesce(max(granted), 0) FROM (
  SELECT count(*) OVER (ORDER BY began RANGE BETWEEN CURRENT ROW
                        AND interval '1 second' FOLLOWING) AS granted
    FROM leases WHERE queue = %s) counted
""".encode(),
        [queue],
    ).fetchone()
    assert row is not None
    return int(row[0])

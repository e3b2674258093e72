"""Who serves a queue now, or did last: what its executors could still take."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.store.census import MOST_LEASES
from orchestrator.store.sql import text

# One that has not been heard of for so long does not serve.
SERVING_SECONDS = 90

# How many leases each session holds, of as many as a census looks at.
_HELD = f"""leases AS MATERIALIZED (
  SELECT "lockedBy" AS full_name, "lockedSession" AS session FROM "workflowRuns"
   WHERE "leaseId" IS NOT NULL LIMIT {MOST_LEASES}),
held AS (SELECT full_name, session, count(*) AS runs FROM leases GROUP BY full_name, session)"""

_SERVES = f"""e.state = 'active'
         AND e."seenAt" > clock_timestamp() - interval '{SERVING_SECONDS} seconds'"""


@dataclass(frozen=True, slots=True)
class Fleet:
    """
    The executors that serve now.

    Attributes:
        slots: Of those that say how many they have.
        slots_busy: How many leases those hold.
    """

    executors: int = 0
    slots: int = 0
    slots_busy: int = 0


@dataclass(frozen=True, slots=True)
class Serving:
    """
    Those that serve one queue; who serves several is counted in each.

    Attributes:
        slots_each: On average; when nobody serves it now, of those that did last. 1 when
            none of them has said.
    """

    queue: str
    fleet: Fleet
    slots_each: float


def fleet(connection: Connection) -> Fleet:
    """All executors that serve now, each once."""
    row = connection.execute(
        text(f"""
WITH {_HELD}
SELECT count(*) AS executors, coalesce(sum(e.slots), 0) AS slots,
       coalesce(sum(h.runs) FILTER (WHERE e.slots IS NOT NULL), 0)::bigint AS slots_busy
  FROM executors e
  LEFT JOIN held h ON h.full_name = e."fullName" AND h.session = e.session
 WHERE {_SERVES}
""")
    ).one()
    return Fleet(**row._mapping)  # noqa: SLF001


def serving(connection: Connection) -> list[Serving]:
    """Of each queue that a registered executor serves or has served lately."""
    rows = connection.execute(
        text(f"""
WITH {_HELD},
known AS (
  SELECT q.name, e.slots, h.runs, {_SERVES} AS serves,
         e."seenAt" > max(e."seenAt") OVER (PARTITION BY q.name)
           - interval '{SERVING_SECONDS} seconds' AS is_last
    FROM executors e CROSS JOIN LATERAL (SELECT DISTINCT unnest(e.queues) AS name) q
    LEFT JOIN held h ON h.full_name = e."fullName" AND h.session = e.session)
SELECT name, count(*) FILTER (WHERE serves), coalesce(sum(slots) FILTER (WHERE serves), 0),
       coalesce(sum(runs) FILTER (WHERE serves AND slots IS NOT NULL), 0)::bigint,
       coalesce(avg(slots) FILTER (WHERE serves), avg(slots) FILTER (WHERE is_last),
                1)::double precision
  FROM known GROUP BY name
""")
    )
    return [
        Serving(name, Fleet(executors, slots, slots_busy), slots_each)
        for name, executors, slots, slots_busy, slots_each in rows
    ]

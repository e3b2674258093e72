"""How the database and the keeper are: what nobody's run says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from orchestrator.lifecycle import RunState, WaitingReason
from orchestrator.store.serving import SERVING_SECONDS
from orchestrator.store.sql import text

# What an executor is that has not been heard of for so long that it does not serve.
SILENT = "silent"
# So many of the newest runs that wait are asked what for.
MOST_WAITING = 5_000

# The tables that every run passes through.
HOT_TABLES = ("workflowRuns", "runEvents", "workflowSteps", "claimRequests")


@dataclass(frozen=True, slots=True)
class KeeperStanding:
    """
    The keeper, whichever process is it.

    Attributes:
        ticked_at: None before its first tick.
        in_amnesty: A gap in its ticks has ended, and leases as long as the longest that is
            held are not taken from anyone yet.
    """

    ticked_at: datetime | None
    lag_seconds: float
    in_amnesty: bool


@dataclass(frozen=True, slots=True)
class TableSize:
    """
    A table as Postgres sees it.

    Attributes:
        live_rows, dead_rows: As its statistics have them; dead ones are not removed yet.
        vacuumed_at: When all that could be removed last was; None: never.
    """

    name: str
    live_rows: int
    dead_rows: int
    table_bytes: int
    index_bytes: int
    vacuumed_at: datetime | None


def keeper_standing(connection: Connection) -> KeeperStanding:
    """When the keeper ticked last, and whether it takes leases."""
    row = connection.execute(
        text("""
SELECT k."lastTickAt" AS ticked_at,
       coalesce(extract(epoch FROM n.now - k."lastTickAt"), 0)::double precision AS lag_seconds,
       coalesce(k."amnestySince" + make_interval(secs => coalesce(l.longest, 0)) > n.now, false)
         AS in_amnesty
  FROM keeper k, clock_timestamp() AS n(now),
       (SELECT max("leaseSeconds") AS longest FROM (
          SELECT "leaseSeconds" FROM "workflowRuns" WHERE "leaseId" IS NOT NULL LIMIT 1000) held) l
""")
    ).one()
    return KeeperStanding(**row._mapping)  # noqa: SLF001


def executors_by_state(connection: Connection) -> dict[str, int]:
    """How many sessions are active, draining or in quarantine, and how many are not heard of."""
    rows = connection.execute(
        text(f"""
SELECT CASE WHEN "seenAt" > clock_timestamp() - interval '{SERVING_SECONDS} seconds' THEN state
       ELSE '{SILENT}' END AS state, count(*) AS executors
  FROM executors GROUP BY 1
""")
    )
    return {row.state: row.executors for row in rows}


def unknown_outcomes(connection: Connection) -> int:
    """How many of the newest `MOST_WAITING` runs that wait do so for somebody to resolve them."""
    number: int = connection.execute(
        text(f"""
SELECT count(*) FILTER (WHERE w."waitingFor"->>'reason' = '{WaitingReason.OUTCOME_UNKNOWN}')
  FROM (SELECT "waitingFor" FROM "workflowRuns" WHERE "runState" = '{RunState.WAITING}'
         ORDER BY id DESC LIMIT {MOST_WAITING}) w
""")
    ).scalar_one()
    return number


def table_sizes(connection: Connection) -> list[TableSize]:
    """The hot tables."""
    rows = connection.execute(
        text("""
SELECT s.relname AS name, s.n_live_tup AS live_rows, s.n_dead_tup AS dead_rows,
       pg_table_size(s.relid) AS table_bytes, pg_indexes_size(s.relid) AS index_bytes,
       greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at
  FROM pg_stat_user_tables s
 WHERE s.schemaname = current_schema() AND s.relname = ANY (CAST(:tables AS text[]))
 ORDER BY s.relname
"""),
        {"tables": list(HOT_TABLES)},
    )
    return [TableSize(**row._mapping) for row in rows]  # noqa: SLF001

"""Queues: their depth, and whether anything is claimed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.store.sql import text


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue that was set or has live runs."""

    name: str
    paused: bool
    max_concurrency: int | None
    rate_per_second: int | None
    max_concurrency_per_key: int | None
    scheduled: int
    pending: int
    loading: int
    started: int
    waiting: int
    oldest_pending_seconds: float | None
    executors: int


def list_queues(connection: Connection) -> list[Queue]:
    """Every queue that was set, has live runs, or is served, by name."""
    rows = connection.execute(
        text("""
WITH depths AS (
  SELECT "stepQueue" AS name,
         count(*) FILTER (WHERE "runState" = 'scheduled') AS scheduled,
         count(*) FILTER (WHERE "runState" = 'pending') AS pending,
         count(*) FILTER (WHERE "runState" = 'loading') AS loading,
         count(*) FILTER (WHERE "runState" = 'started') AS started,
         count(*) FILTER (WHERE "runState" = 'waiting') AS waiting,
         min("availableAt") FILTER (WHERE "runState" = 'pending') AS oldest
    FROM "workflowRuns"
   WHERE "runState" IN ('scheduled', 'pending', 'loading', 'started', 'waiting')
   GROUP BY "stepQueue"),
served AS (
  SELECT q.name, count(*) AS executors
    FROM executors e CROSS JOIN LATERAL unnest(e.queues) AS q(name)
   WHERE e.state = 'active' AND e."seenAt" > clock_timestamp() - interval '90 seconds'
   GROUP BY q.name),
names AS (
  SELECT name FROM queues UNION SELECT name FROM depths UNION SELECT name FROM served)
SELECT n.name, coalesce(q.paused, false) AS paused, q."maxConcurrency" AS max_concurrency,
       q."ratePerSecond" AS rate_per_second,
       q."maxConcurrencyPerKey" AS max_concurrency_per_key, coalesce(d.scheduled, 0) AS scheduled,
       coalesce(d.pending, 0) AS pending, coalesce(d.loading, 0) AS loading,
       coalesce(d.started, 0) AS started, coalesce(d.waiting, 0) AS waiting,
       CASE WHEN d.oldest IS NOT NULL THEN greatest(0,
         extract(epoch FROM clock_timestamp() - d.oldest))::double precision
       END AS oldest_pending_seconds,
       coalesce(s.executors, 0) AS executors
  FROM names n
  LEFT JOIN queues q USING (name) LEFT JOIN depths d USING (name) LEFT JOIN served s USING (name)
 ORDER BY n.name
""")
    )
    return [Queue(**row._mapping) for row in rows]  # noqa: SLF001


def set_paused(connection: Connection, name: str, *, paused: bool, actor: str) -> None:
    """Pause a queue, or let it go on; repeatable."""
    connection.execute(
        text("""
INSERT INTO queues AS q (name, paused, "changedBy", "changedAt")
VALUES (:name, :paused, :actor, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, "changedBy" = excluded."changedBy",
  "changedAt" = excluded."changedAt"
"""),
        {"name": name, "paused": paused, "actor": actor},
    )


def paused_among(connection: Connection, names: Sequence[str]) -> set[str]:
    """Which of these queues are paused."""
    return set(
        connection.execute(
            text("SELECT name FROM queues WHERE paused AND name = ANY (CAST(:names AS text[]))"),
            {"names": list(names)},
        ).scalars()
    )

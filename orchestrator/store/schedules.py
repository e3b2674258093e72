"""Schedules: what is to run when, and what fired last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store.records import Json
from orchestrator.store.sql import text
from orchestrator.store.tables import columns, schedules


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """What someone put; `input` is JSON text, `next_at` None for never."""

    name: str
    workflow: str
    cron: str
    time_zone: str
    input: str
    queue: str
    overlap: str
    paused: bool
    next_at: datetime | None
    actor: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it stands."""

    name: str
    workflow: str
    cron: str
    time_zone: str
    input: Json
    queue: str
    overlap: str
    paused: bool
    next_at: datetime | None
    last_at: datetime | None
    last_run_id: UUID | None
    changed_by: str
    changed_at: datetime


def put(connection: Connection, new: NewSchedule) -> None:
    """Write a schedule down, or change it; what fired last stays known."""
    connection.execute(
        text("""
INSERT INTO schedules AS s (name, workflow, cron, "timeZone", input, queue, overlap, paused,
  "nextAt", "changedBy", "changedAt")
VALUES (:name, :workflow, :cron, :time_zone, CAST(:input AS jsonb), :queue, :overlap, :paused,
  :next_at, :actor, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET workflow = excluded.workflow, cron = excluded.cron,
  "timeZone" = excluded."timeZone", input = excluded.input, queue = excluded.queue,
  overlap = excluded.overlap, paused = excluded.paused, "nextAt" = excluded."nextAt",
  "changedBy" = excluded."changedBy", "changedAt" = excluded."changedAt"
"""),
        {
            "name": new.name,
            "workflow": new.workflow,
            "cron": new.cron,
            "time_zone": new.time_zone,
            "input": new.input,
            "queue": new.queue,
            "overlap": new.overlap,
            "paused": new.paused,
            "next_at": new.next_at,
            "actor": new.actor,
        },
    )


def find(connection: Connection, name: str) -> Schedule | None:
    """One schedule by name."""
    row = connection.execute(
        text(f"SELECT {columns(schedules, 's')} FROM schedules s WHERE s.name = :name"),
        {"name": name},
    ).one_or_none()
    return None if row is None else Schedule(**row._mapping)  # noqa: SLF001


def lock(connection: Connection, name: str) -> Schedule | None:
    """One schedule by name, locked: it is not changed, nor fires, before this transaction ends."""
    row = connection.execute(
        text(f"SELECT {columns(schedules, 's')} FROM schedules s WHERE s.name = :name FOR UPDATE"),
        {"name": name},
    ).one_or_none()
    return None if row is None else Schedule(**row._mapping)  # noqa: SLF001


def list_schedules(connection: Connection) -> list[Schedule]:
    """Every schedule, by name."""
    rows = connection.execute(
        text(f"SELECT {columns(schedules, 's')} FROM schedules s ORDER BY s.name")
    )
    return [Schedule(**row._mapping) for row in rows]  # noqa: SLF001


def set_paused(
    connection: Connection, name: str, *, paused: bool, next_at: datetime | None, actor: str
) -> None:
    """Let a schedule fire no more, or again, first at `next_at`."""
    connection.execute(
        text("""
UPDATE schedules SET paused = :paused, "nextAt" = :next_at, "changedBy" = :actor,
       "changedAt" = clock_timestamp()
 WHERE name = :name
"""),
        {"name": name, "paused": paused, "next_at": next_at, "actor": actor},
    )


def delete(connection: Connection, name: str) -> bool:
    """Forget a schedule; the runs that it created stay. Returns whether there was one."""
    return bool(
        connection.execute(
            text("DELETE FROM schedules WHERE name = :name"), {"name": name}
        ).rowcount
    )


def due_names(connection: Connection, *, limit: int) -> list[str]:
    """Schedules whose time has come, without locking them; `due` decides again."""
    return list(
        connection.execute(
            text("""
SELECT name FROM schedules WHERE NOT paused AND "nextAt" <= clock_timestamp()
 ORDER BY "nextAt" LIMIT :limit
"""),
            {"limit": limit},
        ).scalars()
    )


def due(connection: Connection, *, limit: int, only: str | None = None) -> Sequence[Schedule]:
    """
    Schedules whose time has come, locked; those that another transaction fires are skipped.

    Args:
        only: This schedule alone; for when one bad schedule fails a batch.
    """
    rows = connection.execute(
        text(f"""
SELECT {columns(schedules, "s")} FROM schedules s
 WHERE NOT s.paused AND s."nextAt" <= clock_timestamp()
   AND (CAST(:only AS text) IS NULL OR s.name = :only)
 ORDER BY s."nextAt" LIMIT :limit FOR UPDATE OF s SKIP LOCKED
"""),
        {"limit": limit, "only": only},
    )
    return [Schedule(**row._mapping) for row in rows]  # noqa: SLF001


def fired(
    connection: Connection,
    name: str,
    *,
    at: datetime,
    run_id: UUID | None,
    next_at: datetime | None,
) -> None:
    """
    Note a firing and when the next is.

    Args:
        run_id: None when the overlap policy skipped it.
    """
    connection.execute(
        text("""
UPDATE schedules SET "lastAt" = :at, "lastRunId" = coalesce(:run_id, "lastRunId"),
       "nextAt" = :next_at
 WHERE name = :name
"""),
        {"name": name, "at": at, "run_id": run_id, "next_at": next_at},
    )


def ran_now(connection: Connection, name: str, run_id: UUID) -> None:
    """Note a run that somebody created beside the schedule's times."""
    connection.execute(
        text("""
UPDATE schedules SET "lastAt" = clock_timestamp(), "lastRunId" = :run_id WHERE name = :name
"""),
        {"name": name, "run_id": run_id},
    )

"""The registry of executors: who they are, what they serve, when they were last seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store import incidents
from orchestrator.store.incidents import Process
from orchestrator.store.records import Json
from orchestrator.store.serving import SERVING_SECONDS
from orchestrator.store.sql import text
from orchestrator.store.tables import columns, executors

KEEP_UNSEEN_DAYS = 7
MOST_QUARANTINED = 100


@dataclass(frozen=True, slots=True)
class Registration:
    """
    What an executor says of itself; `labels` is JSON text.

    Attributes:
        slots: How many runs it executes at once; None when it does not say.
        draining: This session is being stopped: nothing more is handed to it,
            and it does not come back.
    """

    full_name: str
    session: UUID
    token_name: str
    version: str | None
    slots: int | None
    queues: tuple[str, ...]
    step_types: tuple[str, ...]
    labels: str
    url: str | None
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Executor:
    """A session of an executor, and how many runs it holds."""

    full_name: str
    session: UUID
    token_name: str
    version: str | None
    slots: int | None
    queues: list[str]
    step_types: list[str]
    labels: Json
    url: str | None
    state: str
    reason: str | None
    registered_at: datetime
    seen_at: datetime
    in_flight: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An executor that gets nothing until an operator resumes it, and why, if anyone said."""

    full_name: str
    queues: list[str]
    reason: str | None
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class OutOfService:
    """
    A session that gets nothing, and why, if anyone said.

    Attributes:
        state: `draining` or `quarantined`; `full` when it holds all that it may.
    """

    state: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Holding:
    """How many runs a registered session executes at once, and how many it holds."""

    slots: int
    runs: int


def register(connection: Connection, registration: Registration) -> None:
    """Write a session down, or what has changed of it; an operator's word on it stays."""
    connection.execute(
        text("""
INSERT INTO executors AS e ("fullName", session, "tokenName", version, slots, queues, "stepTypes",
  labels, url, state, "registeredAt", "seenAt")
VALUES (:full_name, :session, :token_name, :version, :slots, :queues, :step_types,
  CAST(:labels AS jsonb), :url, CASE WHEN :draining THEN 'draining' ELSE 'active' END,
  clock_timestamp(), clock_timestamp())
ON CONFLICT ("fullName", session) DO UPDATE SET
  version = excluded.version, slots = excluded.slots, queues = excluded.queues,
  "stepTypes" = excluded."stepTypes", labels = excluded.labels, url = excluded.url,
  state = CASE e.state WHEN 'active' THEN excluded.state ELSE e.state END,
  "seenAt" = excluded."seenAt"
"""),
        {
            "full_name": registration.full_name,
            "session": registration.session,
            "token_name": registration.token_name,
            "version": registration.version,
            "slots": registration.slots,
            "queues": list(registration.queues),
            "step_types": list(registration.step_types),
            "labels": registration.labels,
            "url": registration.url,
            "draining": registration.draining,
        },
    )


def list_executors(
    connection: Connection, *, full_name: str | None = None, limit: int | None = None
) -> list[Executor]:
    """
    Known sessions, the last seen first.

    Args:
        full_name: Those of this executor alone.
        limit: At most so many.
    """
    rows = connection.execute(
        text(f"""
SELECT {columns(executors, "e")},
       (SELECT count(*) FROM "workflowRuns" r
         WHERE r."leaseId" IS NOT NULL AND r."lockedSession" = e.session
           AND r."lockedBy" = e."fullName") AS in_flight
  FROM executors e
 WHERE CAST(:full_name AS text) IS NULL OR e."fullName" = :full_name
 ORDER BY e."seenAt" DESC, e."fullName" LIMIT CAST(:limit AS bigint)
"""),
        {"full_name": full_name, "limit": limit},
    )
    return [Executor(**row._mapping) for row in rows]  # noqa: SLF001


def list_quarantined(connection: Connection) -> list[Quarantined]:
    """Executors that live and are in quarantine, by name; `MOST_QUARANTINED` at most."""
    rows = connection.execute(
        text(f"""
SELECT DISTINCT ON (e."fullName") e."fullName" AS full_name, e.queues, e.reason,
       e."seenAt" AS seen_at
  FROM executors e
 WHERE e.state = 'quarantined'
   AND e."seenAt" > clock_timestamp() - interval '{SERVING_SECONDS} seconds'
 ORDER BY e."fullName", e."seenAt" DESC LIMIT {MOST_QUARANTINED}
""")
    )
    return [Quarantined(**row._mapping) for row in rows]  # noqa: SLF001


def set_state(connection: Connection, full_name: str, state: str, *, reason: str | None) -> int:
    """Drain, quarantine or resume every session of an executor; returns how many there are."""
    if state == "active":
        incidents.forgive(connection, full_name)
    return connection.execute(
        text("""
UPDATE executors SET state = :state, reason = :reason WHERE "fullName" = :full_name
"""),
        {"full_name": full_name, "state": state, "reason": reason},
    ).rowcount


def out_of_service(
    connection: Connection, processes: Sequence[Process]
) -> dict[Process, OutOfService]:
    """Those of these processes that may not claim, and why."""
    rows = connection.execute(
        text("""
SELECT e."fullName", e.session, e.state, e.reason
  FROM unnest(CAST(:full_names AS text[]), CAST(:sessions AS uuid[])) AS s(full_name, session)
  JOIN executors e ON e."fullName" = s.full_name AND e.session = s.session
 WHERE e.state <> 'active'
"""),
        {
            "full_names": [full_name for full_name, _ in processes],
            "sessions": [session for _, session in processes],
        },
    )
    return {(row[0], row[1]): OutOfService(row[2], row[3]) for row in rows}


def holdings(connection: Connection, processes: Sequence[Process]) -> dict[Process, Holding]:
    """What those of these processes hold that have said how many slots they have."""
    rows = connection.execute(
        text("""
SELECT e."fullName", e.session, e.slots,
       (SELECT count(*) FROM "workflowRuns" r
         WHERE r."leaseId" IS NOT NULL AND r."lockedSession" = e.session
           AND r."lockedBy" = e."fullName")
  FROM unnest(CAST(:full_names AS text[]), CAST(:sessions AS uuid[])) AS s(full_name, session)
  JOIN executors e ON e."fullName" = s.full_name AND e.session = s.session
 WHERE e.slots IS NOT NULL
"""),
        {
            "full_names": [full_name for full_name, _ in processes],
            "sessions": [session for _, session in processes],
        },
    )
    return {(row[0], row[1]): Holding(row[2], row[3]) for row in rows}


def seen(connection: Connection, sessions: Iterable[tuple[str, UUID]]) -> None:
    """Note a sign of life of several sessions in one statement."""
    names_and_sessions: Sequence[tuple[str, UUID]] = sorted(sessions)
    connection.execute(
        text("""
UPDATE executors e SET "seenAt" = clock_timestamp()
  FROM unnest(CAST(:full_names AS text[]), CAST(:sessions AS uuid[])) AS s(full_name, session)
 WHERE e."fullName" = s.full_name AND e.session = s.session
"""),
        {
            "full_names": [name for name, _ in names_and_sessions],
            "sessions": [session for _, session in names_and_sessions],
        },
    )


def drop_unseen(connection: Connection) -> int:
    """Drop sessions that were not seen for a week and hold nothing; returns how many."""
    return connection.execute(
        text(f"""
DELETE FROM executors e
 WHERE e."seenAt" < clock_timestamp() - interval '{KEEP_UNSEEN_DAYS} days'
   AND NOT EXISTS (SELECT FROM "workflowRuns" r
     WHERE r."leaseId" IS NOT NULL AND r."lockedSession" = e.session)
""")
    ).rowcount

"""The ledger: what happened to a run, in order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store.records import Json
from orchestrator.store.sql import text


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the ledger as everyone may read it; a lease's id stays its holder's."""

    seq: int
    kind: str
    at: datetime
    from_state: str | None
    to_state: str
    fence: int | None
    executor: str | None
    actor: str | None
    request_id: str | None
    detail: Json


def events_of(connection: Connection, run_id: UUID) -> list[Event]:
    """Every event of a run, oldest first."""
    rows = connection.execute(
        text("""
SELECT seq, kind, at, "fromState" AS from_state, "toState" AS to_state, fence, executor, actor,
       "requestId" AS request_id, detail
  FROM "runEvents" WHERE "runId" = :run_id ORDER BY seq
"""),
        {"run_id": run_id},
    )
    return [Event(**row._mapping) for row in rows]  # noqa: SLF001


def newest_events(connection: Connection, run_id: UUID, *, limit: int) -> list[Event]:
    """The last events of a run, newest first."""
    rows = connection.execute(
        text("""
SELECT seq, kind, at, "fromState" AS from_state, "toState" AS to_state, fence, executor, actor,
       "requestId" AS request_id, detail
  FROM "runEvents" WHERE "runId" = :run_id ORDER BY seq DESC LIMIT :limit
"""),
        {"run_id": run_id, "limit": limit},
    )
    return [Event(**row._mapping) for row in rows]  # noqa: SLF001

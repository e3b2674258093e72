"""The results of a run's steps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from orchestrator.store.records import Json


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of a run, numbered as executed."""

    step_index: int
    name: str
    type: str
    state: str
    output: Json | None
    error: Json | None
    started_at: datetime
    finished_at: datetime | None


def steps_of(connection: Connection, run_id: UUID) -> list[Step]:
    """Every step of a run that has begun, in order."""
    rows = connection.execute(
        text("""
SELECT "stepIndex" AS step_index, name, type, state, output, error, "startedAt" AS started_at,
       "finishedAt" AS finished_at
  FROM "workflowSteps" WHERE "runId" = :run_id ORDER BY "stepIndex"
"""),
        {"run_id": run_id},
    )
    return [Step(**row._mapping) for row in rows]  # noqa: SLF001

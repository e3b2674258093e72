"""What people read of payloads: laid out, and cut. Whole ones are the API's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store.sql import text


@dataclass(frozen=True, slots=True)
class PayloadExcerpts:
    """The payloads of one run."""

    input: str
    output: str | None
    error: str | None
    progress: str | None
    waiting_for: str | None


@dataclass(frozen=True, slots=True)
class StepExcerpt:
    """A step of a run, numbered as executed."""

    step_index: int
    name: str
    type: str
    state: str
    output: str | None
    error: str | None
    started_at: datetime
    finished_at: datetime | None


def payload_excerpts(
    connection: Connection, run_id: UUID, *, characters: int
) -> PayloadExcerpts | None:
    """A run's payloads, each cut after so many characters; None when there is no such run."""
    row = connection.execute(
        text("""
SELECT left(jsonb_pretty(input), :characters) AS input,
       left(jsonb_pretty(output), :characters) AS output,
       left(jsonb_pretty(error), :characters) AS error,
       left(jsonb_pretty(progress), :characters) AS progress,
       left(jsonb_pretty("waitingFor"), :characters) AS waiting_for
  FROM "workflowRuns" WHERE id = :run_id
"""),
        {"run_id": run_id, "characters": characters},
    ).one_or_none()
    return None if row is None else PayloadExcerpts(**row._mapping)  # noqa: SLF001


def step_excerpts(
    connection: Connection, run_id: UUID, *, limit: int, characters: int
) -> list[StepExcerpt]:
    """The steps of a run that began last, the latest first; payloads are cut."""
    rows = connection.execute(
        text("""
SELECT "stepIndex" AS step_index, name, type, state,
       left(jsonb_pretty(output), :characters) AS output,
       left(jsonb_pretty(error), :characters) AS error,
       "startedAt" AS started_at, "finishedAt" AS finished_at
  FROM "workflowSteps" WHERE "runId" = :run_id ORDER BY "stepIndex" DESC LIMIT :limit
"""),
        {"run_id": run_id, "limit": limit, "characters": characters},
    )
    return [StepExcerpt(**row._mapping) for row in rows]  # noqa: SLF001

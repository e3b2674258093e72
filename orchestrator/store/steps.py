"""The results of a run's steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store.records import Json, with_definition
from orchestrator.store.sql import text


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


def used_outputs(connection: Connection, run_ids: Sequence[UUID]) -> dict[UUID, Json]:
    """
    The outputs that each run's current step uses, by step: of a name the latest.

    A statement of its own, after the one that locked the runs: that one's look at
    the steps may be older than the rows that it got.

    Returns:
        Nothing for a run whose current step uses none.
    """
    rows = connection.execute(
        text(f"""
SELECT u."runId" AS run_id, jsonb_object_agg(u.name, u.output) AS outputs FROM (
  SELECT DISTINCT ON (s."runId", s.name) s."runId", s.name, s.output
    FROM {with_definition('"workflowRuns"', "r")}
    JOIN "workflowSteps" s ON s."runId" = r.id
     AND s.state = 'finished' AND s."stepIndex" < r."stepIndex"
   WHERE r.id = ANY (CAST(:run_ids AS uuid[]))
     AND CASE WHEN jsonb_array_length(step_definition->'uses') > 0
         THEN step_definition->'uses' ? s.name
         ELSE s."stepIndex" = (
           SELECT max(p."stepIndex") FROM "workflowSteps" p
            WHERE p."runId" = r.id AND p.state = 'finished'
              AND p."stepIndex" < r."stepIndex") END
   ORDER BY s."runId", s.name, s."stepIndex" DESC) u
 GROUP BY u."runId"
"""),
        {"run_ids": list(run_ids)},
    )
    return {row.run_id: row.outputs for row in rows}

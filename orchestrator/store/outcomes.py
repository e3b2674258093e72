"""How runs ended of late: a sample of those that were executed, however many wait."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.lifecycle import RunState
from orchestrator.store.sql import text


@dataclass(frozen=True, slots=True)
class Outcomes:
    """
    How the sampled runs of one workflow and queue ended.

    Attributes:
        milliseconds: How long each that finished took, from its first lease's beginning.
    """

    workflow: str
    queue: str
    finished: int
    failed: int
    milliseconds: list[int]


def sample(connection: Connection, *, steps: int) -> list[Outcomes]:
    """
    The newest runs that were executed and have finished or failed.

    Args:
        steps: So many of the steps are looked at that belong to the newest runs.
    """
    # What waits has no steps yet: along their key lie the newest runs that anybody has
    # executed, with any backlog in front of them. Their rows are fetched by primary key;
    # a join is planned as if most of the table were meant.
    rows = connection.execute(
        text(f"""
WITH looked AS MATERIALIZED (
  SELECT "runId", "stepIndex" FROM "workflowSteps"
   ORDER BY "runId" DESC, "stepIndex" DESC LIMIT :steps)
SELECT r.workflow, r.queue,
       count(*) FILTER (WHERE r."runState" = '{RunState.FINISHED}') AS finished,
       count(*) FILTER (WHERE r."runState" = '{RunState.FAILED}') AS failed,
       coalesce(array_agg((extract(epoch FROM r."finishedAt" - r."startedAt") * 1000)::bigint)
         FILTER (WHERE r."runState" = '{RunState.FINISHED}' AND r."startedAt" IS NOT NULL),
         ARRAY[]::bigint[]) AS milliseconds
  FROM "workflowRuns" r
 WHERE r.id = ANY (ARRAY(SELECT "runId" FROM looked WHERE "stepIndex" = 0))
   AND r."runState" IN ('{RunState.FINISHED}', '{RunState.FAILED}')
 GROUP BY r.workflow, r.queue
"""),
        {"steps": steps},
    )
    return [Outcomes(**row._mapping) for row in rows]  # noqa: SLF001

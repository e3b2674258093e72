"""Who was refused a run, or an act under a lease of it: counted, and the last few told.

One row for each run at most, and it goes with the run: whoever is refused, and asks again
and again, fills nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
from sqlalchemy import Connection

from orchestrator.store.records import Json
from orchestrator.store.sql import text

MOST_KEPT = 5


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    One that was refused.

    Attributes:
        executor: Its full name, or the name of its token where no more is known.
        on_behalf_of: The name of the token whose trigger it was, if it was one.
        lease_id: The lease it named. What a run has never been leased under is not told of
            it: whoever invents a lease writes nothing.
    """

    code: str
    executor: str
    on_behalf_of: str | None = None
    lease_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """
    How often a run was refused since the last time.

    Attributes:
        last: The last few of these, oldest first, with how many seconds ago each was.
    """

    number: int
    last: Sequence[tuple[float, Refusal]]


@dataclass(frozen=True, slots=True)
class RunRefusals:
    """
    How often a run was refused in all.

    Attributes:
        last: JSON, newest first: `[{"at", "code", "executor", "onBehalfOf"}]`.
    """

    number: int
    last: Json


def add(connection: Connection, refused: Mapping[UUID, Refused]) -> Counter[str]:
    """
    Note what was refused since the last time.

    Returns:
        How often in each queue; of what is no run's, nothing.
    """
    told = [
        {
            "runId": str(run_id),
            "number": each.number,
            "last": [
                {
                    "secondsAgo": seconds_ago,
                    "code": one.code,
                    "executor": one.executor,
                    "onBehalfOf": one.on_behalf_of,
                    "leaseId": None if one.lease_id is None else str(one.lease_id),
                }
                for seconds_ago, one in each.last
            ],
        }
        for run_id, each in refused.items()
    ]
    # A run's refusals are as many as were counted unless none of them is the run's own.
    rows = connection.execute(
        text(f"""
WITH told AS MATERIALIZED (
  SELECT t."runId", t.number, r."stepQueue" AS queue, l.last
    FROM jsonb_to_recordset(CAST(:told AS jsonb)) AS t("runId" uuid, number bigint, last jsonb)
    JOIN "workflowRuns" r ON r.id = t."runId"
   CROSS JOIN LATERAL (
     SELECT jsonb_agg(jsonb_build_object(
              'at', to_char((clock_timestamp() - make_interval(
                  secs => (one->>'secondsAgo')::float8)) AT TIME ZONE 'UTC',
                'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
              'code', one->>'code', 'executor', one->>'executor',
              'onBehalfOf', one->>'onBehalfOf') ORDER BY place) AS last
       FROM jsonb_array_elements(t.last) WITH ORDINALITY AS o(one, place)
      WHERE one->>'leaseId' IS NULL OR EXISTS (SELECT FROM "runEvents" e
         WHERE e."runId" = t."runId" AND e."leaseId" = (one->>'leaseId')::uuid)) l
   WHERE l.last IS NOT NULL),
kept AS (
  INSERT INTO "refusedClaims" AS c ("runId", number, last)
  SELECT "runId", number, last FROM told ORDER BY "runId"
  ON CONFLICT ("runId") DO UPDATE SET number = c.number + excluded.number,
    last = (SELECT jsonb_agg(one ORDER BY place) FROM (
      SELECT one, place FROM jsonb_array_elements(c.last || excluded.last)
        WITH ORDINALITY AS o(one, place) ORDER BY place DESC LIMIT {MOST_KEPT}) newest))
SELECT queue, sum(number)::bigint FROM told GROUP BY queue
"""),
        {"told": orjson.dumps(told).decode()},
    )
    return Counter({queue: int(number) for queue, number in rows})


def refusals_of(connection: Connection, run_id: UUID) -> RunRefusals:
    """What was refused of a run."""
    row = connection.execute(
        text("""
SELECT c.number, (SELECT jsonb_agg(one ORDER BY place DESC)
                    FROM jsonb_array_elements(c.last) WITH ORDINALITY AS o(one, place)) AS last
  FROM "refusedClaims" c WHERE c."runId" = :run_id
"""),
        {"run_id": run_id},
    ).one_or_none()
    return RunRefusals(0, orjson.Fragment(b"[]")) if row is None else RunRefusals(*row)

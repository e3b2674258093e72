"""Runs as the adapter's executors know them: by a number, and by what they were handed.

Such an executor never names a lease. What it was handed last stands in `"compatRuns"`, so
that a lease which its token holds by another way is none of its business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store.leases import EXPIRY, OWNED
from orchestrator.store.records import Json, with_definition
from orchestrator.store.sql import text

# Whoever is refused a data access reports an error at once, with four tries at most.
ERROR_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Length:
    """How long the lease of a run is to last from now on."""

    run_id: UUID
    lease_id: UUID
    seconds: int


@dataclass(frozen=True, slots=True)
class Numbered:
    """
    A run by its number, and what one token's executor may do with it now.

    Attributes:
        lease_id: Of the lease that this executor was handed it under and still holds; None
            when it does not.
        params, offered: Of the current step's definition; None without one.
    """

    run_id: UUID
    queue: str
    lease_id: UUID | None
    fence: int
    step_index: int
    params: Json | None
    offered: Json | None
    timeout_seconds: float | None


@dataclass(frozen=True, slots=True)
class PastStep:
    """
    A step that is done, of a run that has come further.

    Attributes:
        option: What was selected, as its output says.
    """

    step_index: int
    name: str
    type: str
    params: Json | None
    option: str | None


@dataclass(frozen=True, slots=True)
class Definition:
    """What a run executes; `steps` is None when it has no definition."""

    queue: str
    workflow: str
    version: int | None
    step_type: str
    input: Json
    steps: Json | None


def hand_over(
    connection: Connection,
    leases: Sequence[tuple[UUID, UUID]],
    *,
    key_id: str,
    address: str,
    polled: bool,
) -> dict[UUID, int]:
    """
    Note to whom runs are handed, each under the lease that was granted with them.

    Args:
        leases: Runs, each with its lease.
        key_id: The token that claimed them.
        address: Where it was sent from.
        polled: Whether they were got by a poll; else by their number.

    Returns:
        The number of each; a run whose lease has ended meanwhile is missing.
    """
    rows = connection.execute(
        text("""
INSERT INTO "compatRuns" AS c ("runId", "leaseId", "stepIndex", "keyId", address, polled)
SELECT h.run_id, h.lease_id, r."stepIndex", :key_id, :address, :polled
  FROM unnest(CAST(:run_ids AS uuid[]), CAST(:lease_ids AS uuid[])) AS h(run_id, lease_id)
  JOIN "workflowRuns" r ON r.id = h.run_id AND r."leaseId" = h.lease_id
 ORDER BY h.run_id
ON CONFLICT ("runId") DO UPDATE SET "leaseId" = excluded."leaseId",
  "stepIndex" = excluded."stepIndex", "keyId" = excluded."keyId", address = excluded.address,
  polled = excluded.polled, "refusedAt" = NULL
RETURNING c."runId", c.number
"""),
        {
            "run_ids": [run_id for run_id, _ in leases],
            "lease_ids": [lease_id for _, lease_id in leases],
            "key_id": key_id,
            "address": address,
            "polled": polled,
        },
    )
    return {row[0]: row[1] for row in rows}


def note_refused(
    connection: Connection, number: int, *, token_name: str, step_index: int, fence: int
) -> None:
    """
    Note that whoever executes a step under an older lease was told that it is not his.

    Only when the same executor holds it anew: then he will report an error, which nothing
    else tells from an outcome of the newer lease.
    """
    connection.execute(
        text(f"""
UPDATE "compatRuns" c SET "refusedAt" = clock_timestamp()
  FROM "workflowRuns" r
 WHERE c.number = :number AND r.id = c."runId" AND r."leaseId" = c."leaseId"
   AND {OWNED} = :token_name AND r."stepIndex" = :step_index AND r.fence > :fence
"""),
        {
            "number": number,
            "token_name": token_name,
            "step_index": step_index,
            "fence": fence,
        },
    )


def was_refused(connection: Connection, number: int) -> bool:
    """Whether such an error is to be expected still; it is expected once."""
    return (
        connection.execute(
            text(f"""
UPDATE "compatRuns" c SET "refusedAt" = NULL
 WHERE c.number = :number
   AND c."refusedAt" > clock_timestamp() - interval '{ERROR_SECONDS} seconds'
"""),
            {"number": number},
        ).rowcount
        > 0
    )


def set_lengths(connection: Connection, lengths: Sequence[Length]) -> None:
    """Let leases last so long from now on; confirms nothing. One that is gone is left alone."""
    connection.execute(
        text(f"""
WITH named AS (
  SELECT * FROM unnest(CAST(:run_ids AS uuid[]), CAST(:lease_ids AS uuid[]),
    CAST(:seconds AS integer[])) AS n(run_id, lease_id, seconds)),
held AS MATERIALIZED (
  SELECT n.* FROM named n JOIN "workflowRuns" r ON r.id = n.run_id
   WHERE r."leaseId" = n.lease_id ORDER BY r.id FOR UPDATE OF r)
UPDATE "workflowRuns" r SET "leaseSeconds" = h.seconds,
       "leaseExpiresAt" = {EXPIRY.format(seconds="h.seconds")}
  FROM held h WHERE r.id = h.run_id AND r."leaseId" = h.lease_id
"""),
        {
            "run_ids": [length.run_id for length in lengths],
            "lease_ids": [length.lease_id for length in lengths],
            "seconds": [length.seconds for length in lengths],
        },
    )


def run_id_of(connection: Connection, number: int) -> UUID | None:
    """The run that has this number."""
    run_id: UUID | None = connection.execute(
        text('SELECT c."runId" FROM "compatRuns" c WHERE c.number = :number'), {"number": number}
    ).scalar_one_or_none()
    return run_id


def find(connection: Connection, number: int, *, token_name: str) -> Numbered | None:
    """A run by its number, as it is for this token's executor."""
    row = connection.execute(
        text(f"""
SELECT r.id AS run_id, r.queue,
       CASE WHEN r."leaseId" = c."leaseId" AND {OWNED} = :token_name THEN r."leaseId" END
         AS lease_id,
       r.fence, r."stepIndex" AS step_index, step_definition->'params' AS params,
       step_definition->'next' AS offered,
       (step_definition->>'timeoutSeconds')::double precision AS timeout_seconds
  FROM {with_definition('"workflowRuns"', "r")}
  JOIN "compatRuns" c ON c."runId" = r.id
 WHERE c.number = :number
"""),
        {"number": number, "token_name": token_name},
    ).one_or_none()
    return None if row is None else Numbered(**row._mapping)  # noqa: SLF001


def lease_that_reported(
    connection: Connection, run_id: UUID, *, token_name: str, step_index: int
) -> UUID | None:
    """The last lease under which this token's executor has reported this step."""
    lease_id: UUID | None = connection.execute(
        text(f"""
SELECT e."leaseId" FROM "runEvents" e
 WHERE e."runId" = :run_id AND e.kind = 'reported'
   AND (e.detail->>'stepIndex')::integer = :step_index
   AND {OWNED.replace('r."lockedBy"', "e.executor")} = :token_name
 ORDER BY e.seq DESC LIMIT 1
"""),
        {"run_id": run_id, "step_index": step_index, "token_name": token_name},
    ).scalar_one_or_none()
    return lease_id


def past_steps(
    connection: Connection, run_ids: Sequence[UUID], *, most: int
) -> dict[UUID, list[PastStep]]:
    """
    The steps of runs that are done, in order.

    Args:
        most: Of each run the last so many.
    """
    rows = connection.execute(
        text("""
SELECT r.id, s."stepIndex", s.name, s.type, w.steps->s.name->'params',
       s.output->>'selectedOption'
  FROM "workflowRuns" r
  LEFT JOIN workflows w ON w.name = r.workflow AND w.version = r."workflowVersion"
 CROSS JOIN LATERAL (
   SELECT * FROM "workflowSteps" p
    WHERE p."runId" = r.id AND p.state = 'finished' AND p."stepIndex" < r."stepIndex"
    ORDER BY p."stepIndex" DESC LIMIT :most) s
 WHERE r.id = ANY (CAST(:run_ids AS uuid[]))
 ORDER BY r.id, s."stepIndex"
"""),
        {"run_ids": list(run_ids), "most": most},
    )
    found: dict[UUID, list[PastStep]] = {}
    for run_id, *step in rows:
        found.setdefault(run_id, []).append(PastStep(*step))
    return found


def definition_of(connection: Connection, number: int) -> Definition | None:
    """What the run with this number executes, with its input; None when there is none."""
    row = connection.execute(
        text("""
SELECT r.queue, r.workflow, r."workflowVersion" AS version, r."stepType" AS step_type, r.input,
       w.definition->'steps' AS steps
  FROM "compatRuns" c JOIN "workflowRuns" r ON r.id = c."runId"
  LEFT JOIN workflows w ON w.name = r.workflow AND w.version = r."workflowVersion"
 WHERE c.number = :number
"""),
        {"number": number},
    ).one_or_none()
    return None if row is None else Definition(**row._mapping)  # noqa: SLF001

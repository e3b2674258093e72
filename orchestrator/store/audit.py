"""What the audit reads, page by page.

Each page is read in a short transaction of its own (`moment`): runs, events and steps
are as they were together, and no snapshot is held long enough to keep vacuum from its
work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row

from orchestrator.audit.history import Event, Grant, History, Kind, Run, Step
from orchestrator.store.keeper import GAP_SECONDS
from orchestrator.store.records import Json
from orchestrator.store.sql import text

NOWHERE = UUID(int=0)

# A lease should be gone a second after it expired, after an outage one lease later. While
# no keeper is awake, or an amnesty lasts, nothing is taken from anyone.
_OVERDUE = f"""CASE WHEN r."leaseId" IS NOT NULL AND EXISTS (
       SELECT FROM keeper k
        WHERE k."lastTickAt" > clock_timestamp() - interval '{GAP_SECONDS} seconds'
          AND coalesce(k."amnestySince" + make_interval(secs => 2 * r."leaseSeconds")
                       < clock_timestamp(), true))
       THEN extract(epoch FROM clock_timestamp() - r."leaseExpiresAt")::double precision
            - r."leaseSeconds" - 1 END"""

_RUNS = f"""
SELECT r.id, r."runState" AS state, r.version, r."stepIndex" AS step_index, r.attempt, r.fence,
       r."leaseId" AS lease_id, r."lockedBy" AS executor, {_OVERDUE} AS overdue_seconds
  FROM "workflowRuns" r"""

_UUID_FORM = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

# What a forged detail holds instead of a number is no step, and no error either.
_EVENTS = f"""
SELECT e."runId" AS run_id, e.seq, e.kind, e.at, e."fromState" AS from_state,
       e."toState" AS to_state, e."leaseId" AS lease_id, e.fence, e.executor,
       e."requestId" AS request_id, e.actor,
       CASE WHEN e.detail->>'stepIndex' ~ '^[0-9]{{1,9}}$'
         THEN (e.detail->>'stepIndex')::integer END AS step_index,
       e.detail->>'outcome' AS outcome, e.detail->>'outcomeHash' AS outcome_hash,
       e.detail->>'next' AS next_step, e.detail->>'as' AS as_,
       CASE WHEN e.kind = '{Kind.CLAIMED}' THEN (
         SELECT coalesce(e."leaseId" = ANY (c."leaseIds"), false) FROM "claimRequests" c
          WHERE c."tokenName" = e.actor
            AND c."requestId" = CASE WHEN e."requestId" ~ '{_UUID_FORM}'
              THEN e."requestId"::uuid END) END AS granted
  FROM "runEvents" e"""

_STEPS = """
SELECT s."runId" AS run_id, s."stepIndex" AS step_index, s.state
  FROM "workflowSteps" s"""


@dataclass(frozen=True, slots=True)
class Extent:
    """How far the history goes; `about_runs` is the planner's guess, None when it has none."""

    last_id: UUID
    about_runs: int | None


@dataclass(frozen=True, slots=True)
class Content:
    """What a run was created with."""

    run_id: UUID
    workflow: str
    queue: str
    input: Json


@dataclass(frozen=True, slots=True)
class GrantPage:
    """What some claim requests got; `last` is the last request's key, None after the end."""

    grants: Sequence[Grant]
    last: tuple[str, UUID] | None


@contextmanager
def moment(engine: Engine) -> Iterator[Connection]:
    """A transaction whose statements all see the database as it was at one moment."""
    snapshots = engine.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    with snapshots.begin() as connection:
        yield connection


def extent(connection: Connection) -> Extent:
    """The last run there is now, or was; what comes later is not of this audit."""
    row = connection.execute(
        text("""
SELECT greatest((SELECT id FROM "workflowRuns" ORDER BY id DESC LIMIT 1),
                (SELECT "runId" FROM "runEvents" ORDER BY "runId" DESC LIMIT 1)) AS last_id,
       (SELECT reltuples::bigint FROM pg_class
         WHERE oid = '"workflowRuns"'::regclass) AS about_runs
""")
    ).one()
    return Extent(row.last_id or NOWHERE, row.about_runs if row.about_runs > 0 else None)


def histories_after(
    connection: Connection, after: UUID, *, through: UUID, limit: int
) -> list[History]:
    """
    The next runs in order of their ids, with all that is known of them.

    Events between them that belong to no run come as a history without a run.

    Returns:
        Nothing after the last. The last one's id is where the next page begins.
    """
    values: dict[str, Any] = {"after": after, "through": through, "limit": limit}
    runs = connection.execute(
        text(f"""{_RUNS} WHERE r.id > :after AND r.id <= :through ORDER BY r.id LIMIT :limit"""),
        values,
    ).all()
    if len(runs) == limit:
        values["through"] = runs[-1].id
    del values["limit"]
    between = '"runId" > :after AND {0}."runId" <= :through ORDER BY {0}."runId", {0}.{1}'
    events = connection.execute(text(f"""{_EVENTS} WHERE e.{between.format("e", "seq")}"""), values)
    steps = connection.execute(
        text(f"""{_STEPS} WHERE s.{between.format("s", '"stepIndex"')}"""), values
    )
    return _histories(runs, events, steps)


def histories_of(connection: Connection, run_ids: Sequence[UUID]) -> list[History]:
    """What is known of these runs, in order of their ids; one that nothing knows is missing."""
    values = {"run_ids": list(run_ids)}
    among = "= ANY (CAST(:run_ids AS uuid[])) ORDER BY"
    return _histories(
        connection.execute(text(f"{_RUNS} WHERE r.id {among} r.id"), values),
        connection.execute(text(f'{_EVENTS} WHERE e."runId" {among} e."runId", e.seq'), values),
        connection.execute(
            text(f'{_STEPS} WHERE s."runId" {among} s."runId", s."stepIndex"'), values
        ),
    )


def contents_of(connection: Connection, run_ids: Sequence[UUID]) -> dict[UUID, Content]:
    """What these runs were created with, by id."""
    rows = connection.execute(
        text("""
SELECT r.id AS run_id, r.workflow, r.queue, r.input FROM "workflowRuns" r
 WHERE r.id = ANY (CAST(:run_ids AS uuid[]))
"""),
        {"run_ids": list(run_ids)},
    )
    return {row.run_id: Content(**row._mapping) for row in rows}  # noqa: SLF001


def grants_after(connection: Connection, after: tuple[str, UUID], *, limit: int) -> GrantPage:
    """
    What the next claim requests got, in order of their keys, beside the ledger's claims.

    Args:
        limit: So many requests, each with every lease that it got.
    """
    rows = connection.execute(
        text(f"""
SELECT c."tokenName" AS token_name, c."requestId" AS request_id, g.run_id, g.lease_id,
       r.id IS NOT NULL AS run_exists, e.actor AS claimed_by, e."requestId" AS claimed_for
  FROM (SELECT * FROM "claimRequests" q
         WHERE (q."tokenName", q."requestId") > (:token_name, :request_id)
         ORDER BY q."tokenName", q."requestId" LIMIT :limit) c
  LEFT JOIN LATERAL unnest(c."runIds", c."leaseIds") AS g(run_id, lease_id) ON true
  LEFT JOIN "workflowRuns" r ON r.id = g.run_id
  LEFT JOIN "runEvents" e
    ON e."runId" = g.run_id AND e."leaseId" = g.lease_id AND e.kind = '{Kind.CLAIMED}'
 ORDER BY c."tokenName", c."requestId"
"""),
        {"token_name": after[0], "request_id": after[1], "limit": limit},
    ).all()
    return GrantPage(
        grants=[Grant(**row._mapping) for row in rows if row.lease_id is not None],  # noqa: SLF001
        last=(rows[-1].token_name, rows[-1].request_id) if rows else None,
    )


def _histories(
    runs: Iterable[Row[Any]], events: Iterable[Row[Any]], steps: Iterable[Row[Any]]
) -> list[History]:
    by_id = {row.id: Run(**row._mapping) for row in runs}  # noqa: SLF001
    events_by_id = {
        run_id: tuple(Event(*tuple(row)[1:]) for row in rows)
        for run_id, rows in groupby(events, attrgetter("run_id"))
    }
    steps_by_id = {
        run_id: tuple(Step(*tuple(row)[1:]) for row in rows)
        for run_id, rows in groupby(steps, attrgetter("run_id"))
    }
    return [
        History(
            run_id, by_id.get(run_id), events_by_id.get(run_id, ()), steps_by_id.get(run_id, ())
        )
        for run_id in sorted(by_id.keys() | events_by_id.keys() | steps_by_id.keys())
    ]

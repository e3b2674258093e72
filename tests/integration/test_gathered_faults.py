"""A wish that the database refuses, whatever it says, fails none of the 99 beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from orchestrator.desk.creates import Wanted
from orchestrator.desk.gathering import Gathering
from orchestrator.errors import Overloaded, ValidationFailed
from orchestrator.store.records import Dispatch
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.gathered import WAIT_SECONDS, patient, together
from tests.integration.wishes import Executor, new_run, outcome

REQUESTS = 100
BAD = 41

# What the database may say of one row, and what its own request is told.
REFUSALS = {
    "22003": DBAPIError,
    "23514": DBAPIError,
    "55P03": Overloaded,
    "57014": Overloaded,
}

Asked = tuple[Engine, Gathering[Any, Any], Callable[[], object], Sequence[Callable[[], object]]]


@pytest.fixture(autouse=True)
def slow_machine(database: Database, owner: psycopg.Connection) -> Iterator[None]:
    with patient(database, owner):
        yield


def dispatches(dibs: Dibs, executor: Executor) -> Sequence[Dispatch]:
    wanted = [Wanted(new_run(), return_active=False) for _ in range(1 + REQUESTS)]
    dibs.creates.create(wanted)
    return dibs.claim(executor, limit=len(wanted)).dispatches


# A hundred requests of one kind, after one that holds them up. Each gives the runs that
# they are for, and what has them served together.


def creates(dibs: Dibs, _: Executor) -> tuple[list[UUID], Asked]:
    first, *wanted = [Wanted(new_run(), return_active=False) for _ in range(1 + REQUESTS)]
    works = [partial(dibs.creates.create, [one]) for one in (first, *wanted)]
    asked = (dibs.database.work, dibs.creates._gathering, works[0], works[1:])
    return [one.run.id for one in wanted], asked


def renewals(dibs: Dibs, executor: Executor) -> tuple[list[UUID], Asked]:
    first, *named = dispatches(dibs, executor)
    works = [partial(dibs.renew, executor, each) for each in (first, *named)]
    asked = (dibs.database.leases, dibs.leases._renewals, works[0], works[1:])
    return [each.run.id for each in named], asked


def releases(dibs: Dibs, executor: Executor) -> tuple[list[UUID], Asked]:
    first, *named = dispatches(dibs, executor)
    works = [partial(dibs.release, executor, each) for each in (first, *named)]
    asked = (dibs.database.leases, dibs.leases._releases, works[0], works[1:])
    return [each.run.id for each in named], asked


def reports(dibs: Dibs, executor: Executor) -> tuple[list[UUID], Asked]:
    first, *named = dispatches(dibs, executor)
    works = [partial(told, dibs, each, executor) for each in (first, *named)]
    asked = (dibs.database.leases, dibs.reports._gathering, works[0], works[1:])
    return [each.run.id for each in named], asked


def told(dibs: Dibs, dispatch: Dispatch, executor: Executor) -> None:
    """Report a success; a refusal is raised."""
    (answer,) = dibs.report(outcome(dispatch, executor, "success"))
    if answer.problem is not None:
        raise answer.problem


LAST_EVENT = {
    creates: "created",
    renewals: "started",
    releases: "released",
    reports: "reported",
}


def refuse(dibs: Dibs, run_id: UUID, sqlstate: str) -> None:
    """Let the database refuse whatever is written of this run."""
    dibs.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END$$"
    )
    dibs.sql(
        'CREATE TRIGGER refuses BEFORE INSERT OR UPDATE ON "workflowRuns" FOR EACH ROW'
        f" WHEN (NEW.id = '{run_id}') EXECUTE FUNCTION refuse()"
    )


@pytest.mark.parametrize("sqlstate", REFUSALS)
@pytest.mark.parametrize("prepare", LAST_EVENT)
def test_what_the_database_refuses_is_refused_and_its_99_neighbours_are_done(
    dibs: Dibs,
    executor: Executor,
    prepare: Callable[[Dibs, Executor], tuple[list[UUID], Asked]],
    sqlstate: str,
) -> None:
    run_ids, asked = prepare(dibs, executor)
    refuse(dibs, run_ids[BAD], sqlstate)

    with together(*asked) as futures:
        refusals = [future.exception(WAIT_SECONDS) for future in futures]

    expected = REFUSALS[sqlstate]
    if prepare is reports and expected is DBAPIError:
        expected = ValidationFailed
    assert isinstance(refusals.pop(BAD), expected)
    assert refusals == [None] * (REQUESTS - 1)
    done = dibs.sql(
        'SELECT "runId" FROM "runEvents" WHERE kind = %s AND "runId" = ANY (%s)',
        LAST_EVENT[prepare],
        run_ids,
    )
    assert {row["runId"] for row in done} == set(run_ids) - {run_ids[BAD]}

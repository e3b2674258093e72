"""What the database refuses to be done to the ledgers and to results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from tests.database import Database
from tests.integration.raw_rows import RUN_ID, THEN, insert, insert_run

EVENT = {
    "runId": RUN_ID,
    "seq": 1,
    "kind": "created",
    "at": THEN,
    "toState": "pending",
    "detail": "{}",
}
STEP = {
    "runId": RUN_ID,
    "stepIndex": 0,
    "name": "refund",
    "type": "refund",
    "state": "finished",
    "output": "1",
    "startedAt": THEN,
}

ACT = {
    "id": RUN_ID,
    "at": THEN,
    "actor": "ops",
    "kind": "pause-queue",
    "subject": "default",
    "detail": "{}",
}


@pytest.fixture
def owner(module_database: Database) -> Iterator[psycopg.Connection]:
    """A transaction of the owner's that is rolled back."""
    with closing(psycopg.connect(module_database.owner_url)) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def service(module_database: Database) -> Iterator[psycopg.Connection]:
    """A transaction of the service's that is rolled back."""
    with closing(psycopg.connect(module_database.service_url)) as connection:
        yield connection
        connection.rollback()


DESTRUCTION = [
    ('UPDATE "runEvents" SET kind = kind', "runEvents_append_only"),
    ('DELETE FROM "runEvents"', "runEvents_only_pruned"),
    ('TRUNCATE "runEvents"', "runEvents_not_truncated"),
    ('UPDATE "operatorActs" SET actor = actor', "operatorActs_append_only"),
    ('DELETE FROM "operatorActs"', "operatorActs_only_pruned"),
    ('TRUNCATE "operatorActs"', "operatorActs_not_truncated"),
    ('DELETE FROM "workflowSteps"', "workflowSteps_only_pruned"),
    ('TRUNCATE "workflowSteps"', "workflowSteps_not_truncated"),
    ('DELETE FROM "workflowRuns"', "workflowRuns_only_pruned"),
    ('TRUNCATE "workflowRuns"', "workflowRuns_not_truncated"),
]


@pytest.mark.parametrize(("statement", "refused_by"), DESTRUCTION)
def test_the_owner_is_refused_by_name(
    owner: psycopg.Connection, statement: str, refused_by: str
) -> None:
    insert_run(owner, "finished")
    insert(owner, "runEvents", EVENT)
    insert(owner, "workflowSteps", STEP)
    insert(owner, "operatorActs", ACT)

    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        owner.execute(statement.encode())

    assert refused.value.diag.constraint_name == refused_by


@pytest.mark.parametrize("statement", [statement for statement, _ in DESTRUCTION])
def test_the_service_may_not_even_try(service: psycopg.Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        service.execute(statement.encode())


def test_a_live_run_is_not_deleted_even_while_pruning(owner: psycopg.Connection) -> None:
    insert_run(owner, "pending")
    owner.execute("SET LOCAL dibs.pruning = 'on'")

    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        owner.execute('DELETE FROM "workflowRuns"')
    assert refused.value.diag.constraint_name == "workflowRuns_only_pruned"


@pytest.mark.parametrize("who", ["owner", "service"])
@pytest.mark.parametrize(
    ("table", "row", "refused_by"),
    [
        pytest.param(table, row, refused_by, id=name)
        for name, table, row, refused_by in [
            ("event 0", "runEvents", EVENT | {"seq": 0}, "runEvents_first_is_created"),
            (
                "event -1",
                "runEvents",
                EVENT | {"seq": -1, "kind": "due", "fromState": "scheduled"},
                "runEvents_seq_positive",
            ),
            (
                "a history without a beginning",
                "runEvents",
                EVENT | {"kind": "claimed"},
                "runEvents_first_is_created",
            ),
            ("a second beginning", "runEvents", EVENT | {"seq": 2}, "runEvents_first_is_created"),
            ("a fence without a lease", "runEvents", EVENT | {"fence": 1}, "runEvents_lease_whole"),
            (
                "an unknown step state",
                "workflowSteps",
                STEP | {"state": "x", "output": None},
                "workflowSteps_state_known",
            ),
            (
                "output of a failed step",
                "workflowSteps",
                STEP | {"state": "failed"},
                "workflowSteps_output_finished",
            ),
            ("an act of nobody", "operatorActs", ACT | {"actor": ""}, "operatorActs_named"),
            ("an act of no kind", "operatorActs", ACT | {"kind": ""}, "operatorActs_named"),
            ("an act on nothing", "operatorActs", ACT | {"subject": ""}, "operatorActs_named"),
            (
                "an act's detail that is no object",
                "operatorActs",
                ACT | {"detail": "[]"},
                "operatorActs_detail_object",
            ),
            ("step -1", "workflowSteps", STEP | {"stepIndex": -1}, "workflowSteps_index_positive"),
        ]
    ],
)
def test_a_row_is_refused(
    request: pytest.FixtureRequest, who: str, table: str, row: dict[str, Any], refused_by: str
) -> None:
    session = request.getfixturevalue(who)

    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        insert(session, table, row)

    assert refused.value.diag.constraint_name == refused_by


@pytest.mark.parametrize("who", ["owner", "service"])
def test_a_forked_history_is_refused(request: pytest.FixtureRequest, who: str) -> None:
    session = request.getfixturevalue(who)
    insert(session, "runEvents", EVENT)

    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        insert(session, "runEvents", EVENT)
    assert refused.value.diag.constraint_name == "runEvents_pkey"


@pytest.mark.parametrize("who", ["owner", "service"])
def test_the_result_of_a_finished_step_is_not_changed(
    request: pytest.FixtureRequest, who: str
) -> None:
    session = request.getfixturevalue(who)
    insert(session, "workflowSteps", STEP)

    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        session.execute("""UPDATE "workflowSteps" SET output = '2'""")
    assert refused.value.diag.constraint_name == "workflowSteps_result_is_final"

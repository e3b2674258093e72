"""Migrations while runs are claimed: nothing fails but with 503, nothing stands still for long."""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from orchestrator import schema
from orchestrator.lifecycle import Role
from tests.acceptance.stage import Stage
from tests.acceptance.waiting import eventually
from tests.chaos.fault import Fault
from tests.chaos.promised_times import require_within
from tests.chaos.steady_load import SteadyLoad, steady_load
from tests.newer_schema import (
    ADD_COLUMN,
    ADD_CONSTRAINT,
    BUILD_INDEX,
    VALIDATE_CONSTRAINT,
    NewerSchema,
)

QUEUE = "migrated"
RUNS = 12_000
CLAIMS_PER_SECOND = 200
# The longest that a migration may hold claims up (reliability: F53).
STALL_SECONDS = 2.0
MIGRATION_SECONDS = 90.0
WARM_UP_CLAIMS = 100


@pytest.mark.fault("F53", "F55")
def test_a_schema_goes_up_and_down_under_claims_and_past_a_reader(
    stage: Stage, tmp_path: Path, fault: Fault
) -> None:
    newer = NewerSchema(
        tmp_path / "newer", ADD_COLUMN, BUILD_INDEX, ADD_CONSTRAINT, VALIDATE_CONSTRAINT
    )
    url = stage.database.owner_url
    with closing(stage.client()) as web:
        web.create_many(QUEUE, RUNS)
    tokens = stage.tokens
    with steady_load(
        stage.orchestrator.url, tokens[Role.EXECUTOR], QUEUE, claims_per_second=CLAIMS_PER_SECOND
    ) as load:
        go_on(load)
        # Twice at once; one waits, and finds nothing to do.
        with (
            newer.start(url, "upgrade", "head") as first,
            newer.start(url, "upgrade", "head") as second,
        ):
            end_well(first, second)
        go_on(load)
        assert schema.status(url).current == newer.head
        assert stage.orchestrator.is_ready()
        # Somebody reads the runs for longer than a migration waits for its lock.
        with closing(psycopg.connect(url)) as reader:
            reader.execute('SELECT count(*) FROM "workflowRuns"')
            with newer.start(url, "downgrade", newer.ours) as down:
                eventually(lambda: waits_for_a_lock(url), what="the migration waits")
                eventually(lambda: not waits_for_a_lock(url), what="it gave up for now")
                reader.rollback()
                end_well(down)
        go_on(load)

    print(load)  # noqa: T201 - the figures, with `pytest -s`
    assert schema.status(url).at_head
    assert set(load.statuses) <= {200, 503}
    fault.core(runs=len(load.executed))
    require_within(fault, "any answer", load.longest_seconds, STALL_SECONDS)
    with closing(psycopg.connect(url)) as connection:
        finished = connection.execute(
            'SELECT count(*) FROM "workflowRuns" WHERE "runState" = \'finished\''
        ).fetchone()
        invalid = connection.execute(
            "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
        ).fetchone()
    assert finished == (len(set(load.executed)),) == (len(load.executed),)
    assert invalid == (0,)


def go_on(load: SteadyLoad) -> None:
    """Wait until so many more were claimed."""
    until = len(load.executed) + WARM_UP_CLAIMS
    eventually(lambda: len(load.executed) >= until, what="more claims")


def end_well(*migrations: subprocess.Popen[str]) -> None:
    for migration in migrations:
        said, _ = migration.communicate(timeout=MIGRATION_SECONDS)
        assert migration.returncode == 0, said


def waits_for_a_lock(url: str) -> bool:
    """Whether a migration stands in the queue of a lock."""
    with closing(psycopg.connect(url)) as connection:
        found = connection.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'dibs-migrate' AND wait_event_type = 'Lock'"
        )
        return found.rowcount > 0

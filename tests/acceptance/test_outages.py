"""Postgres or the orchestrator is away for a moment: everything recovers by itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from orchestrator.dev.embedded import EmbeddedPostgres
from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, outcome_of
from tests.acceptance.journal import Journal
from tests.acceptance.processes import Orchestrator
from tests.acceptance.stage import Fleet, Stage, check_all_ledgers, make_token, stage_on
from tests.acceptance.waiting import eventually
from tests.database import fresh_database, template_on

RUNS = 300


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, whatever the others use; it keeps what it has acknowledged."""
    with EmbeddedPostgres(tmp_path / "postgres") as postgres:
        yield postgres


@pytest.fixture
def own_stage(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Stage]:
    with (
        template_on(postgres.owner_url, shared=False) as template,
        fresh_database(template) as database,
        stage_on(database, tmp_path) as stage,
    ):
        yield stage


def test_executors_and_orchestrator_recover_from_restarts_of_postgres_and_nothing_is_lost(
    postgres: EmbeddedPostgres, own_stage: Stage, tmp_path: Path
) -> None:
    with closing(Fleet(own_stage, "outage", tmp_path)) as fleet, closing(own_stage.client()) as web:
        run_ids = web.create_many("outage", RUNS, "brief", input={"seconds": 0.05}, maxCrashes=50)
        for name in ("one", "two"):
            fleet.start(name, slots=4)
        journal = fleet.journal

        wait_for_more_executions(journal, RUNS // 10)
        postgres.restart()
        wait_for_more_executions(journal, RUNS // 10)
        postgres.stop(immediate=True)
        eventually(lambda: not own_stage.orchestrator.is_ready(), what="the outage was noticed")
        postgres.start()
        eventually(lambda: answers(web), what="the orchestrator is back")
        created_after = web.create("outage")

        for run_id in (*run_ids, created_after):
            assert web.wait_for(run_id)["runState"] == "finished"
            reported = [one for one in web.events(run_id) if one["kind"] == "reported"]
            assert len(reported) == 1
        assert journal.executions().keys() == {*run_ids, created_after}
        assert all(program.exit_code() is None for program in fleet.started)
        assert own_stage.orchestrator.exit_code() is None
    check_all_ledgers(own_stage.database)


def wait_for_more_executions(journal: Journal, count: int) -> None:
    """Wait until this many executions have begun since now."""
    until = len(journal.entries()) + count
    eventually(lambda: len(journal.entries()) >= until, what=f"{count} more executions")


def answers(client: Client) -> bool:
    """Whether the orchestrator can ask its database again."""
    return client.send("GET", "/v1/whoami").is_success


@pytest.fixture
def second_orchestrator(stage: Stage, tmp_path: Path) -> Iterator[Orchestrator]:
    """Another orchestrator on the same database, for the test to end."""
    second = Orchestrator("second", stage.database.service_url, tmp_path)
    second.start()
    yield second
    second.end()


def test_executors_ride_through_a_restart_of_the_orchestrator(
    fleet: Fleet,
    second_orchestrator: Orchestrator,
    web: Client,
    queue: str,
    journal: Journal,
) -> None:
    run_ids = web.create_many(queue, 200, "brief", input={"seconds": 0.05})
    for name in ("one", "two"):
        fleet.start(name, lease_seconds=30, url=second_orchestrator.url)
    eventually(lambda: len(journal.entries()) > 20)

    second_orchestrator.ask_to_end()
    exit_code = second_orchestrator.wait_for_exit(10)
    second_orchestrator.start()

    assert exit_code == 0
    for run_id in run_ids:
        run = web.wait_for(run_id)
        assert (run["runState"], run["attempt"]) == ("finished", 1)
    assert journal.executions() == dict.fromkeys(run_ids, 1)


def test_an_orchestrator_that_is_told_to_end_answers_what_it_has_and_exits_with_0(
    fleet: Fleet,
    second_orchestrator: Orchestrator,
    web: Client,
    holder: Client,
    owner: psycopg.Connection[object],
    queue: str,
) -> None:
    run_id = web.create(queue)
    (held,) = holder.claim(queue)
    token = fleet.stage.tokens[Role.EXECUTOR]
    with closing(Client(second_orchestrator.url, token)) as client, ThreadPoolExecutor(9) as pool:
        parked = [
            pool.submit(client.claim, f"nothing-{queue}"[:60], waitSeconds=30) for _ in range(8)
        ]
        with owner.transaction():
            # The report waits for this row, in the middle of its transaction.
            owner.execute('SELECT FROM "workflowRuns" WHERE id = %s FOR UPDATE', [run_id])
            report = pool.submit(client.report, outcome_of(held, {"status": "success"}))
            eventually(lambda: waits_for_a_lock(fleet.stage), what="the report is in flight")
            second_orchestrator.ask_to_end()
            for claim in parked:
                assert claim.result(10) == []
            assert not report.done()

        assert report.result(10)[0]["status"] == "finished"
    assert second_orchestrator.wait_for_exit(10) == 0


def waits_for_a_lock(stage: Stage) -> bool:
    """Whether a session of the service is blocked by another one."""
    with psycopg.connect(stage.database.owner_url) as connection:
        found = connection.execute(
            """
            SELECT FROM pg_stat_activity
             WHERE datname = current_database() AND usename = %s AND wait_event_type = 'Lock'
            """,
            [stage.database.service_role],
        )
        return found.rowcount > 0


def test_a_revoked_token_is_let_in_nowhere_within_a_second(stage: Stage, queue: str) -> None:
    token = make_token(stage.database, f"gone-{queue}"[:60], Role.CLIENT)
    with closing(Client(stage.orchestrator.url, token)) as client:
        assert client.send("GET", "/v1/whoami").is_success
        with psycopg.connect(stage.database.owner_url) as connection:
            connection.execute(
                'UPDATE "accessTokens" SET "revokedAt" = clock_timestamp() WHERE name = %s',
                [f"gone-{queue}"[:60]],
            )

        eventually(lambda: client.send("GET", "/v1/whoami").status_code == 401, within_seconds=1.5)

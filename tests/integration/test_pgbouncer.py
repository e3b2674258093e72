"""Behind a pooler in transaction mode the settings hold: they are the role's."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, text

from orchestrator.lifecycle import Role
from orchestrator.store.engine import open_database
from orchestrator.store.transaction import transact
from tests.acceptance.stage import check_all_ledgers, stage_on
from tests.database import Database, Template, fresh_database
from tests.integration.keyed_requests import REQUESTS
from tests.integration.pgbouncer import SERVER_CONNECTIONS, pgbouncer
from tests.integration.session_settings import SETTINGS, settings_of

THREADS = 8
ROUNDS = 40


@pytest.fixture(scope="module")
def pooled(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database of which the service knows the way through the pooler only."""
    with (
        fresh_database(template) as database,
        pgbouncer(database.service_url, tmp_path_factory.mktemp("pgbouncer")) as url,
    ):
        yield replace(database, service_url=url)
        check_all_ledgers(database)


def test_the_settings_are_those_of_the_role_whatever_backend_serves(pooled: Database) -> None:
    with (
        closing(open_database(pooled.service_url, work_connections=THREADS)) as opened,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        seen = list(
            threads.map(lambda _: transact(opened.work, settings_of), range(THREADS * ROUNDS))
        )

    assert 1 < len({pid for pid, _ in seen}) <= SERVER_CONNECTIONS
    for _, found in seen:
        assert found == {name: (value, "database user") for name, value in SETTINGS.items()}


def test_a_pooler_is_noticed_and_nothing_is_prepared(pooled: Database) -> None:
    def prepared(connection: Connection) -> int:
        for _ in range(10):
            connection.execute(text("SELECT 1"))
        return int(
            connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one()
        )

    with closing(open_database(pooled.service_url)) as opened:
        assert transact(opened.work, prepared) == 0


@pytest.mark.fault("F45")
def test_every_kind_of_request_is_served_through_it(pooled: Database, tmp_path: Path) -> None:
    with (
        stage_on(pooled, tmp_path) as stage,
        closing(stage.client()) as web,
        closing(stage.client(Role.EXECUTOR)) as holder,
        closing(psycopg.connect(pooled.owner_url, autocommit=True)) as owner,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        requests = [prepare(web, holder) for prepare in REQUESTS.values() for _ in range(THREADS)]
        answers = list(threads.map(lambda request: request.send(), requests))
        again = list(threads.map(lambda request: request.send(), requests))
        ready = web.ask("GET", "/readyz")
        effects = {request.effects(owner) for request in requests}

    assert [answer.text for answer in answers + again if not answer.is_success] == []
    assert effects == {1}
    # LISTEN would be another client's by the next transaction: parked claims look instead.
    assert (ready["ready"], ready["bell"]) == (True, "polling")

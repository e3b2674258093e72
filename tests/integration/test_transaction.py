"""One transaction: repeated when it may be, and never answered before its COMMIT."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from orchestrator.errors import Overloaded, Unavailable
from orchestrator.store.engine import POOL_TIMEOUT_SECONDS, open_database
from orchestrator.store.hot import hot
from orchestrator.store.patience import PATIENCE_SECONDS, new_patience, patience
from orchestrator.store.transaction import TRIES, constraint_of, transact
from tests.database import Database, needs_a_session
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor


@pytest.fixture
def database_of_one(database: Database, owner: psycopg.Connection) -> Iterator[Dibs]:
    """An orchestrator with a single connection."""
    with closing(Dibs(database.service_url, owner, connections=1)) as dibs:
        yield dibs


@pytest.mark.fault("F46")
def test_two_transactions_that_deadlock_both_end(dibs: Dibs) -> None:
    first, second = dibs.pending(), dibs.pending()
    met = threading.Barrier(2)

    def lock(order: list[UUID]) -> int:
        tries = 0

        def work(connection: Connection) -> int:
            nonlocal tries
            tries += 1
            for number, run_id in enumerate(order):
                connection.execute(
                    text('SELECT FROM "workflowRuns" WHERE id = :id FOR UPDATE'), {"id": run_id}
                )
                if number == 0 and tries == 1:
                    met.wait(10)
            return tries

        return transact(dibs.database.work, work)

    with ThreadPoolExecutor(2) as threads:
        both = [
            threads.submit(lock, order) for order in ([first.id, second.id], [second.id, first.id])
        ]

    assert sorted(future.result() for future in both) == [1, 2]


def test_a_connection_that_died_before_anything_was_committed_is_replaced(
    dibs: Dibs, executor: Executor
) -> None:
    run = dibs.pending()
    dibs.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE %s",
        "dibs%",
    )

    dispatch, _ = dibs.claim_run(executor, run.id)

    assert dispatch.run.id == run.id
    assert dibs.events(run.id) == ["created", "claimed"]


@pytest.mark.parametrize("way", ["hot", "core"])
def test_of_many_dead_connections_a_request_meets_one(dibs: Dibs, way: str) -> None:
    """There are as many as it has tries, and others are quicker to take those that are replaced."""
    needs_a_session("backends that come and go with their clients")
    engine = dibs.database.work
    all_open = threading.Barrier(TRIES)
    tries = 0

    def open_one(_: int) -> None:
        transact(engine, lambda connection: all_open.wait(10))

    with ThreadPoolExecutor(TRIES) as threads:
        list(threads.map(open_one, range(TRIES)))
    killed = dibs.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'dibs'"
    )

    with ExitStack() as others:

        def ask(connection: Connection) -> None:
            nonlocal tries
            tries += 1
            try:
                if way == "hot":
                    hot("SELECT 1").rows(connection, {})
                else:
                    connection.execute(text("SELECT 1"))
            except DBAPIError:
                others.enter_context(engine.connect())
                raise

        transact(engine, ask)

    assert len(killed) == TRIES
    assert tries == 2


def test_a_database_that_is_away_is_unavailable(dibs: Dibs) -> None:
    away = open_database("postgresql://nobody@127.0.0.1:1/nothing")

    with pytest.raises(Unavailable) as refused:
        transact(away.work, lambda connection: None)
    assert refused.value.retry_after_seconds
    assert "127.0.0.1" not in refused.value.message


@pytest.mark.fault("F37")
def test_no_request_waits_for_a_connection_for_ever(database_of_one: Dibs) -> None:
    def work(_: Connection) -> None:
        transact(database_of_one.database.work, lambda connection: None)

    with pytest.raises(Overloaded):
        transact(database_of_one.database.work, work)


def test_who_waits_for_a_connection_waits_no_longer_than_the_patience(
    database_of_one: Dibs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool alone would wait for two seconds, however late in a request."""
    monkeypatch.setattr("orchestrator.store.patience.PATIENCE_SECONDS", 0.2)

    def work(_: Connection) -> float:
        began = time.monotonic()
        with pytest.raises(Overloaded):
            transact(database_of_one.database.work, lambda connection: None)
        return time.monotonic() - began

    assert transact(database_of_one.database.work, work) < POOL_TIMEOUT_SECONDS


def test_what_the_database_refuses_is_named_and_leaves_nothing(dibs: Dibs) -> None:
    run = dibs.pending()

    def work(connection: Connection) -> None:
        connection.execute(text('UPDATE "workflowRuns" SET priority = 1'))
        connection.execute(text('UPDATE "workflowRuns" SET priority = 101'))

    with pytest.raises(IntegrityError) as refused:
        transact(dibs.database.work, work)
    assert constraint_of(refused.value) == "workflowRuns_priority"
    assert dibs.row(run.id)["priority"] == 0


@pytest.mark.fault("F39")
def test_a_statement_that_takes_too_long_is_cut_off(dibs: Dibs) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text("SET LOCAL statement_timeout = '20ms'"))
        connection.execute(text("SELECT pg_sleep(30)"))

    with pytest.raises(Overloaded):
        transact(dibs.database.work, work)


@pytest.mark.fault("F26")
def test_hosts_that_accept_and_stay_silent_hold_nobody_longer_than_five_seconds() -> None:
    """However many the URL names, as it does where a standby may take over."""
    with ExitStack() as sockets:
        hosts = []
        for _ in range(4):
            silent = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
            hosts.append(f"127.0.0.1:{silent.getsockname()[1]}")
        away = open_database(f"postgresql://nobody@{','.join(hosts)}/nothing")
        began = time.monotonic()

        with pytest.raises(Unavailable):
            transact(away.work, lambda connection: None)

        assert time.monotonic() - began < PATIENCE_SECONDS + 0.5


def test_a_request_has_one_patience_for_all_its_transactions(
    dibs: Dibs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.store.patience.PATIENCE_SECONDS", 1.0)

    def slow(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(0.7)"))

    with patience():
        transact(dibs.database.work, slow)
        with pytest.raises(Unavailable):
            transact(dibs.database.work, slow)
        with new_patience():
            transact(dibs.database.work, slow)
    transact(dibs.database.work, slow)

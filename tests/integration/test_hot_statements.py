"""Statements that go around SQLAlchemy: values as they were, and errors as Core gives them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from orchestrator.store.connection import BoundedConnection
from orchestrator.store.engine import open_engine
from orchestrator.store.hot import hot, together
from orchestrator.store.prepared import Question, Row
from orchestrator.store.transaction import transact
from tests.database import Database

ODD_TEXTS = ["", "NULL", "null", '"', "\\", '\\"', "a,b", "{a}", " a ", "\n\t\r", "'", "ä😀", None]

DIVIDE = hot("SELECT 6 / CAST(:n AS integer)")
PREPARED = hot("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'dibs%'")


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    engine = open_engine(database.service_url, connections=1, name="hot")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def fail(connection: Connection) -> None:
    with pytest.raises(DBAPIError):
        DIVIDE.rows(connection, {"n": 0})
    connection.rollback()


@pytest.mark.parametrize(
    ("sql_type", "values"),
    [
        ("text", ODD_TEXTS),
        ("text", []),
        ("text", [None, None]),
        ("uuid", [UUID(int=0), None, UUID(int=2**128 - 1)]),
        ("integer", [-1, None, 2**31 - 1]),
        ("boolean", [True, None, False]),
        ("bytea", [b"", b'\x00\xff\\"', None]),
        ("timestamptz", [datetime(2026, 11, 22, 23, 1, 2, 345678, UTC), None]),
    ],
)
def test_an_array_arrives_as_it_was(
    connection: Connection, sql_type: str, values: list[Any]
) -> None:
    echo = hot(
        f"SELECT v FROM unnest(CAST(:values AS {sql_type}[])) WITH ORDINALITY u(v, n) ORDER BY n"
    )
    assert [value for (value,) in echo.rows(connection, {"values": values})] == values


def test_a_character_that_no_text_may_hold_is_refused_not_cut_off(connection: Connection) -> None:
    with pytest.raises(DBAPIError, match="NUL"):
        hot("SELECT CAST(:values AS text[])").rows(connection, {"values": ["a\x00b"]})


def test_a_name_that_stands_twice_is_one_value_and_a_percent_sign_is_itself(
    connection: Connection,
) -> None:
    twice = hot("SELECT CAST(:n AS integer) + :n, CAST('5%' AS text), 7 % CAST(:m AS integer)")
    assert twice.rows(connection, {"n": 2, "m": 4}) == [(4, "5%", 3)]


def test_what_it_writes_is_part_of_the_transaction(connection: Connection) -> None:
    put = hot(
        'INSERT INTO queues (name, paused, "changedAt") VALUES (:name, false, now()) RETURNING name'
    )
    look = hot("SELECT count(*) FROM queues WHERE name = :name")
    assert put.rows(connection, {"name": "hot"}) == [("hot",)]
    connection.rollback()
    assert look.rows(connection, {"name": "hot"}) == [(0,)]
    put.rows(connection, {"name": "hot"})
    connection.commit()
    assert look.rows(connection, {"name": "hot"}) == [(1,)]


def test_an_error_is_what_core_would_raise(connection: Connection) -> None:
    with pytest.raises(DBAPIError) as refused:
        hot("SELECT 1 / CAST(:n AS integer)").rows(connection, {"n": 0})
    assert refused.value.orig is not None
    assert getattr(refused.value.orig, "sqlstate", None) == "22012"
    assert not refused.value.connection_invalidated


def test_after_an_error_the_next_transaction_asks_as_before(connection: Connection) -> None:
    for _ in range(3):
        fail(connection)
        assert DIVIDE.rows(connection, {"n": 2}) == [(3,)]
        fail(connection)


@pytest.mark.parametrize("pooled", [False, True])
def test_statements_that_are_sent_together_are_answered_one_by_one(
    connection: Connection, *, pooled: bool
) -> None:
    link: BoundedConnection = connection.connection.dbapi_connection  # type: ignore[assignment]
    link.pooled = pooled
    put = hot(
        'INSERT INTO queues (name, paused, "changedAt") VALUES (:name, false, now()) RETURNING name'
    )
    look = hot("SELECT count(*) FROM queues WHERE name = :name")
    for name in ("one", "two", "three"):
        asked = [(look, {"name": name}), (put, {"name": name}), (look, {"name": name})]
        assert together(connection, asked) == [[(0,)], [(name,)], [(1,)]]


@pytest.mark.parametrize("begun", [False, True])
def test_after_one_that_fails_nothing_is_done(connection: Connection, *, begun: bool) -> None:
    put = hot(
        'INSERT INTO queues (name, paused, "changedAt") VALUES (:name, false, now()) RETURNING name'
    )
    divide = hot("SELECT 1 / CAST(:n AS integer)")
    if begun:
        divide.rows(connection, {"n": 1})
    with pytest.raises(DBAPIError) as refused:
        together(connection, [(divide, {"n": 0}), (put, {"name": "hot"})])
    assert getattr(refused.value.orig, "sqlstate", None) == "22012"
    connection.rollback()
    assert divide.rows(connection, {"n": 1}) == [(1,)]
    assert put.rows(connection, {"name": "hot"}) == [("hot",)]


def test_what_psycopg_drops_at_a_rollback_is_prepared_again(connection: Connection) -> None:
    own = hot("SELECT CAST(:n AS integer)")
    for n in range(4):
        connection.execute(text("SELECT 1"))
        assert own.rows(connection, {"n": n}) == [(n,)]
    connection.rollback()
    assert own.rows(connection, {"n": 4}) == [(4,)]


def test_a_rollback_leaves_nothing_prepared_that_nobody_asks_for_any_more(
    connection: Connection,
) -> None:
    own = hot("SELECT CAST(:n AS integer)")
    counts = []
    for n in range(3):
        own.rows(connection, {"n": n})
        counts += PREPARED.rows(connection, {})
        connection.rollback()
    assert counts == [(2,)] * 3


def test_what_fails_leaves_nothing_prepared_either(connection: Connection) -> None:
    for _ in range(3):
        fail(connection)
    assert PREPARED.rows(connection, {}) == [(1,)]


def test_behind_a_pooler_nothing_is_prepared(connection: Connection) -> None:
    link: BoundedConnection = connection.connection.dbapi_connection  # type: ignore[assignment]
    link.pooled = True
    assert [PREPARED.rows(connection, {}) for _ in range(3)] == [[(0,)]] * 3


def test_what_somebody_else_dropped_is_prepared_again_and_the_transaction_repeated(
    database: Database,
) -> None:
    engine = open_engine(database.service_url, connections=1, name="hot")
    own = hot("SELECT CAST(:n AS integer)")
    attempts = 0

    def work(connection: Connection) -> list[Row]:
        nonlocal attempts
        attempts += 1
        return own.rows(connection, {"n": 7})

    transact(engine, work)
    transact(engine, lambda connection: connection.execute(text("DEALLOCATE ALL")))
    attempts = 0
    assert transact(engine, work) == [(7,)]
    assert attempts == 2
    engine.dispose()


def test_a_connection_that_could_not_send_everything_is_not_used_again(
    connection: Connection,
) -> None:
    link: BoundedConnection = connection.connection.dbapi_connection  # type: ignore[assignment]
    too_many = Question(b"SELECT 1", ["x"] * 70_000)
    with pytest.raises(psycopg.OperationalError):
        link.wait(link.prepared.ask([too_many]))
    assert link.closed


def test_a_connection_that_was_cut_off_is_not_used_again(
    connection: Connection, database: Database
) -> None:
    ask = hot("SELECT pg_backend_pid()")
    [(gone,)] = ask.rows(connection, {})
    with closing(psycopg.connect(database.owner_url, autocommit=True)) as owner:
        owner.execute("SELECT pg_terminate_backend(%s, 5000)", [gone])
    with pytest.raises(DBAPIError) as refused:
        ask.rows(connection, {})
    assert refused.value.connection_invalidated
    connection.rollback()
    [(other,)] = ask.rows(connection, {})
    assert other != gone

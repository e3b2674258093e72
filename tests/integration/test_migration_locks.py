"""A migration that cannot have its lock soon lets the others through, and is tried again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from orchestrator import schema
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.newer_schema import ADD_COLUMN, ADD_CONSTRAINT, BUILD_INDEX, NewerSchema

PATIENCE_SECONDS = 60

ADD_LEDGER_COLUMN = (
    """op.execute('ALTER TABLE "runEvents" ADD COLUMN note text')""",
    """op.execute('ALTER TABLE "runEvents" DROP COLUMN note')""",
)


class Report:
    """What a migration tells, and whether it has told yet that it tries again."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tries_again = threading.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if "trying again" in line:
            self.tries_again.set()


@contextmanager
def reader(url: str) -> Iterator[psycopg.Connection]:
    """Somebody who has read the runs and does not end his transaction, as a backup does."""
    with closing(psycopg.connect(url)) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute('SELECT count(*) FROM "workflowRuns"')
        yield connection


def invalid_indexes(url: str) -> int:
    with closing(psycopg.connect(url)) as connection:
        row = connection.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.fault("F53")
def test_claims_go_on_while_a_migration_waits_for_a_reader(
    database: Database, dibs: Dibs, tmp_path: Path
) -> None:
    newer = NewerSchema(tmp_path, ADD_COLUMN)
    report = Report()
    with ThreadPoolExecutor(1) as thread:
        with reader(database.owner_url):
            migration = thread.submit(newer.upgrade, database.owner_url, report=report)
            assert report.tries_again.wait(PATIENCE_SECONDS)
            dibs.pending()
            assert not migration.done()
        migration.result(PATIENCE_SECONDS)

    assert schema.status(database.owner_url).current == newer.head
    assert report.lines[-1] == f"up to {newer.head}: {newer.head}"


@pytest.mark.fault("F53")
def test_an_index_whose_build_gave_up_waiting_is_dropped_and_built_again(
    database: Database, tmp_path: Path
) -> None:
    newer = NewerSchema(tmp_path, ADD_COLUMN, BUILD_INDEX)
    newer.upgrade(database.owner_url)
    newer.downgrade(database.owner_url, "later1")
    report = Report()
    with ThreadPoolExecutor(1) as thread:
        with reader(database.owner_url):
            migration = thread.submit(newer.upgrade, database.owner_url, report=report)
            assert report.tries_again.wait(PATIENCE_SECONDS)
            broken = invalid_indexes(database.owner_url)
        migration.result(PATIENCE_SECONDS)

    assert broken == 1
    assert invalid_indexes(database.owner_url) == 0
    assert schema.status(database.owner_url).current == newer.head


def test_so_many_steps_down_are_never_more_steps_down(database: Database, tmp_path: Path) -> None:
    """Tried again from the middle, two steps would be three."""
    newer = NewerSchema(tmp_path, ADD_COLUMN, ADD_CONSTRAINT, ADD_LEDGER_COLUMN)
    newer.upgrade(database.owner_url)

    with (
        reader(database.owner_url),
        pytest.raises(Exception, match="lock timeout"),
    ):
        newer.downgrade(database.owner_url, "-2")

    assert schema.status(database.owner_url).current == "later2"

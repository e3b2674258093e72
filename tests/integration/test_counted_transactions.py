"""What is counted of transactions."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from orchestrator.metrics.catalogue import Metrics
from orchestrator.metrics.exposition import counted, exposition
from orchestrator.metrics.meter import Meter
from orchestrator.store.engine import open_database
from orchestrator.store.sql import text
from orchestrator.store.transaction import transact
from tests.database import Database
from tests.scraped import Scraped

Work = Callable[[Connection], object]


def counts_of(database: Database, *works: Work) -> dict[str, float]:
    """What is counted when these are done, one after another."""
    meter = Meter()
    opened = open_database(database.service_url, metrics=Metrics(meter))
    try:
        for work in works:
            transact(opened.work, work)
    finally:
        opened.close()
    scraped = Scraped(exposition(counted(meter)).decode())
    return {
        result: scraped.sum("dibs_database_transactions_total", pool="work", result=result)
        for result in ("committed", "unknown", "repeated")
    }


def read(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


def give_up(connection: Connection) -> None:
    read(connection)
    connection.rollback()


def test_a_transaction_counts_when_there_was_something_to_commit(database: Database) -> None:
    counts = counts_of(database, read, read, give_up)

    assert counts == {"committed": 2, "unknown": 0, "repeated": 0}


def test_one_that_was_begun_again_counts_as_repeated_too(database: Database) -> None:
    first = iter([True])

    def deadlock(connection: Connection) -> None:
        if next(first, False):
            connection.execute(
                text("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40P01'; END $$")
            )
        read(connection)

    assert counts_of(database, deadlock) == {"committed": 1, "unknown": 0, "repeated": 1}

"""Dibs on a database of the test's own, and whoever speaks to it."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from tests.database import Database, Template, fresh_database
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor
from tests.ledger import check_ledgers


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection]:
    """The owner's own session, each statement a transaction."""
    with closing(psycopg.connect(database.owner_url, autocommit=True)) as connection:
        yield connection


@pytest.fixture
def dibs(database: Database, owner: psycopg.Connection) -> Iterator[Dibs]:
    """One orchestrator; after the test every run's ledger is checked."""
    with closing(Dibs(database.service_url, owner)) as dibs:
        yield dibs
        check_ledgers(owner)


@pytest.fixture
def executor() -> Executor:
    return Executor("fleet:one")


@pytest.fixture
def other() -> Executor:
    """Another process of the same fleet."""
    return Executor("fleet:two")


@pytest.fixture
def stranger() -> Executor:
    """A process with another token."""
    return Executor("strangers:one")


@pytest.fixture(scope="module")
def module_database(template: Template) -> Iterator[Database]:
    """One database for all tests of a module, none of which keeps what it writes."""
    with fresh_database(template) as database:
        yield database

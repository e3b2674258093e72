"""Dibs on a database of the test's own, and whoever speaks to it."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from tests.database import Database, Template, fresh_database
from tests.integration.dibs import Dibs
from tests.integration.face import Face, step
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
        check_history(owner)


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


@pytest.fixture(scope="module")
def filled(
    request: pytest.FixtureRequest, module_database: Database
) -> Iterator[psycopg.Connection]:
    """The owner's session on a module's database, which its `FILL` has filled."""
    with closing(psycopg.connect(module_database.owner_url, autocommit=True)) as connection:
        connection.execute(request.module.FILL.encode())
        connection.execute("VACUUM ANALYZE")
        yield connection


@pytest.fixture(scope="module")
def face(module_database: Database) -> Iterator[Face]:
    """One orchestrator for all tests of a module; after them every run's ledger is checked."""
    with (
        closing(psycopg.connect(module_database.owner_url, autocommit=True)) as owner,
        closing(Face(module_database, owner)) as face,
    ):
        yield face
        check_history(owner)


def check_history(owner: psycopg.Connection) -> None:
    """Check every ledger. The keeper beats by hand here: what it missed is no finding."""
    owner.execute("UPDATE keeper SET \"lastTickAt\" = clock_timestamp() - interval '1 minute'")
    check_ledgers(owner)


@pytest.fixture(scope="module")
def chain(face: Face) -> str:
    """A workflow of three steps in a row."""
    return face.define(step("a", "b"), step("b", "c"), step("c"))


@pytest.fixture(scope="module")
def approval(face: Face) -> str:
    """A refund that somebody has to approve."""
    return face.define(
        step("check", "approve"), step("approve", "pay", "refuse"), step("pay"), step("refuse")
    )


@pytest.fixture(scope="module")
def charge(face: Face) -> str:
    """A workflow that charges a card, then tells about it."""
    return face.define(step("charge", "tell", mutating=True), step("tell"))

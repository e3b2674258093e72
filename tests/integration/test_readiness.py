"""An orchestrator is ready for its own schema and for a newer one, not for an older one."""

import threading

import psycopg
import pytest

from orchestrator.api.readiness import Readiness
from tests.database import Database


def reasons(database: Database, revision: str | None) -> list[str]:
    """Why a process would not be ready with the schema at this revision."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        if revision is None:
            connection.execute("DELETE FROM alembic_version")
        else:
            connection.execute("UPDATE alembic_version SET version_num = %s", [revision])
    return Readiness(database.service_url, threading.Event()).reasons()


def test_the_schema_at_head_is_served(database: Database) -> None:
    assert Readiness(database.service_url, threading.Event()).reasons() == []


def test_a_schema_that_a_newer_version_made_is_served(database: Database) -> None:
    assert reasons(database, "9999") == []


@pytest.mark.parametrize("revision", ["0001", None])
def test_a_schema_that_lacks_migrations_is_not(database: Database, revision: str | None) -> None:
    assert reasons(database, revision) == ["schema-behind"]


def test_a_process_that_is_to_end_is_not_ready(database: Database) -> None:
    draining = threading.Event()
    draining.set()

    assert Readiness(database.service_url, draining).reasons() == ["draining"]

"""An orchestrator is ready for its own schema and for a newer one, not for an older one."""

import threading

import psycopg
import pytest
from psycopg import sql
from structlog.testing import capture_logs

from orchestrator.api.readiness import Readiness
from tests.acceptance.waiting import eventually
from tests.database import Database
from tests.integration.door import door_to


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


def test_the_role_of_the_grants_is_nothing_to_warn_of(database: Database) -> None:
    readiness = Readiness(database.service_url, threading.Event())

    with capture_logs() as logged:
        readiness.warn()

    assert readiness.warnings() == []
    assert logged == []


def test_a_superuser_serves_and_is_warned_of(database: Database, owner: psycopg.Connection) -> None:
    assert owner.execute(
        "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    ).fetchone() == (True,)

    check_warning(Readiness(database.owner_url, threading.Event()), "serves-as-superuser")


def test_the_owner_of_the_tables_serves_and_is_warned_of(
    database: Database, owner: psycopg.Connection
) -> None:
    owner.execute(
        sql.SQL('ALTER TABLE "runEvents" OWNER TO {}').format(sql.Identifier(database.service_role))
    )

    check_warning(Readiness(database.service_url, threading.Event()), "serves-as-owner")


def check_warning(readiness: Readiness, why: str) -> None:
    """It is logged once at the start, told to whoever asks, and no reason not to serve."""
    with capture_logs() as logged:
        readiness.warn()
        told = [readiness.warnings() for _ in range(2)]

    assert told == [[why]] * 2
    assert logged == [{"event": "role_may_do_too_much", "why": why, "log_level": "warning"}]
    assert readiness.reasons() == []


def test_a_database_that_is_away_at_the_start_is_asked_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.api.readiness._LOOK_KEPT_SECONDS", 0.01)
    monkeypatch.setattr("orchestrator.api.readiness._KEPT_SECONDS", 0.01)
    with door_to(database.owner_url) as door, capture_logs() as logged:
        door.shut()
        readiness = Readiness(door.url(database.owner_url), threading.Event())
        watch = threading.Thread(target=readiness.warn)
        watch.start()
        eventually(lambda: readiness.reasons() == ["database-unavailable"])
        door.open()
        watch.join(30)

    assert not watch.is_alive()
    assert [each["event"] for each in logged] == ["role_may_do_too_much"]

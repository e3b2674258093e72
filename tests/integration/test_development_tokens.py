"""Development tokens: good on this machine, and nowhere that others may ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from orchestrator.api.context import services_of
from orchestrator.app import create_app
from orchestrator.dev.access import keep_token
from orchestrator.dev.data_directory import DataDirectory
from orchestrator.exposure import DevelopmentTokensExposed, require_no_development_tokens
from orchestrator.lifecycle import Role
from orchestrator.minting import key_id_of, mint
from orchestrator.settings import Settings, load
from orchestrator.store.engine import open_engine
from tests.command_line import CommandLine
from tests.database import Database

EVERYWHERE = "0.0.0.0"
HERE = "127.0.0.1"


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    engine = open_engine(database.owner_url, connections=1, name="minting")
    yield engine
    engine.dispose()


def settings(url: str, host: str) -> Settings:
    return load({"DATABASE_URL": url, "DIBS_SECRET_KEY": "k" * 32}, host=host)


def make(
    engine: Engine, name: str, *, lasts: timedelta | None = None, development: bool = True
) -> str:
    with engine.begin() as connection:
        return mint(connection, name=name, role=Role.OPERATOR, lasts=lasts, development=development)


def test_serving_elsewhere_is_refused_and_the_tokens_are_named(
    command_line: CommandLine, database: Database, engine: Engine
) -> None:
    for name in ("operator", "demo"):
        make(engine, name)
    make(engine, "fleet", development=False)

    ended = command_line.run(
        *("serve", "--host", EVERYWHERE),
        DATABASE_URL=database.service_url,
        DIBS_SECRET_KEY="k" * 32,
    )

    assert ended.code == 78
    assert "demo, operator" in ended.err
    assert "dibs token revoke --name demo; dibs token revoke --name operator" in ended.err
    assert "fleet" not in ended.err


def test_tokens_that_are_over_are_in_nobody_s_way(database: Database, engine: Engine) -> None:
    make(engine, "expired", lasts=timedelta(milliseconds=-1))
    make(engine, "plain", development=False)
    make(engine, "revoked")
    elsewhere = settings(database.service_url, EVERYWHERE)
    with pytest.raises(DevelopmentTokensExposed, match="revoked"):
        require_no_development_tokens(elsewhere)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            """UPDATE "accessTokens" SET "revokedAt" = now() WHERE name = 'revoked'"""
        )

    require_no_development_tokens(elsewhere)


def test_on_loopback_they_are_welcome(database: Database, engine: Engine) -> None:
    make(engine, "operator")

    require_no_development_tokens(settings(database.service_url, HERE))


def test_a_database_that_is_away_keeps_nobody_from_starting(database: Database) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"

    require_no_development_tokens(settings(nowhere, EVERYWHERE))


@contextmanager
def whoami(url: str, host: str) -> Iterator[Callable[[str], int]]:
    """Asks an orchestrator on this address who a token's owner is; the status of its answer."""
    app = create_app(settings(url, host))
    with closing(services_of(app).database):

        def status(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return app.test_client().get("/v1/whoami", headers=headers).status_code

        yield status


@pytest.mark.parametrize(("host", "status"), [(EVERYWHERE, 401), (HERE, 200), ("::1", 200)])
def test_one_that_appears_later_is_accepted_on_loopback_only(
    database: Database, engine: Engine, host: str, status: int
) -> None:
    with whoami(database.service_url, host) as asked:
        plain = make(engine, "web", development=False)
        assert asked(plain) == 200

        assert asked(make(engine, "operator")) == status


def test_dibs_dev_keeps_its_tokens_and_marks_those_of_a_version_before(
    database: Database, engine: Engine, owner: psycopg.Connection, tmp_path: Path
) -> None:
    before = make(engine, "operator", development=False)
    with DataDirectory(tmp_path / "data") as data:
        data.keep("operator-token", before)
        first = [
            keep_token(database.owner_url, data, "operator", Role.OPERATOR),
            keep_token(database.owner_url, data, "demo", Role.EXECUTOR),
        ]
        second = [
            keep_token(database.owner_url, data, "operator", Role.OPERATOR),
            keep_token(database.owner_url, data, "demo", Role.EXECUTOR),
        ]

    assert second == first
    assert first[0] == before
    marked = owner.execute('SELECT "keyId" FROM "accessTokens" WHERE development').fetchall()
    assert {key_id for (key_id,) in marked} == {key_id_of(token) for token in first}


def test_the_list_of_tokens_shows_which_they_are(
    command_line: CommandLine, database: Database, engine: Engine
) -> None:
    make(engine, "operator")
    make(engine, "web", development=False)

    listed = command_line.run("token", "list", DATABASE_URL=database.owner_url).out

    shown = {line.split()[1]: "development" in line for line in listed.splitlines()[1:]}
    assert shown == {"operator": True, "web": False}

"""The settings come with the role: a pooler in transaction mode drops whatever a session sets."""

from __future__ import annotations

from contextlib import closing

import psycopg
from psycopg import sql

from orchestrator.store.engine import open_database
from orchestrator.store.transaction import transact
from tests.database import Database
from tests.integration.session_settings import SETTINGS, settings_of


def test_a_plain_session_that_says_nothing_has_the_settings(database: Database) -> None:
    """As a pooler opens one: no parameter at its start, and no SET."""
    with closing(psycopg.connect(database.service_url)) as session:
        assert not session.info.get_parameters().get("options")
        found = session.execute(
            "SELECT name, setting, source FROM pg_settings WHERE name = ANY (%s)",
            [list(SETTINGS)],
        ).fetchall()

    assert {name: (value, source) for name, value, source in found} == {
        name: (value, "database user") for name, value in SETTINGS.items()
    }


def test_dibs_sets_nothing_in_a_session_whose_role_has_the_settings(database: Database) -> None:
    """What a session sets stays on a backend that the pooler hands to somebody else."""
    with closing(open_database(database.service_url)) as opened:
        _, found = transact(opened.work, settings_of)

    assert {source for _, source in found.values()} == {"database user"}


def test_a_role_without_them_gets_them_for_its_session(
    database: Database, owner: psycopg.Connection
) -> None:
    for name in SETTINGS:
        owner.execute(
            sql.SQL("ALTER ROLE {} IN DATABASE {} RESET {}").format(
                sql.Identifier(database.service_role),
                sql.Identifier(owner.info.dbname),
                sql.Identifier(name),
            )
        )
    with closing(open_database(database.service_url)) as opened:
        _, found = transact(opened.work, settings_of)

    assert found == {name: (value, "session") for name, value in SETTINGS.items()}


def test_how_to_plan_is_left_to_whoever_has_said_it(
    database: Database, owner: psycopg.Connection
) -> None:
    owner.execute(
        sql.SQL("ALTER ROLE {} IN DATABASE {} SET enable_seqscan = on").format(
            sql.Identifier(database.service_role), sql.Identifier(owner.info.dbname)
        )
    )
    with closing(open_database(database.service_url)) as opened:
        _, found = transact(opened.work, settings_of)

    assert found == {name: (value, "database user") for name, value in SETTINGS.items()} | {
        "enable_seqscan": ("on", "database user")
    }

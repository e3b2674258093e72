"""The schema: up, down and up again, twice at once, and equal to what tables.py says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import alembic.config
import psycopg
import pytest
import sqlalchemy
from pytest_alembic.tests import (
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from sqlalchemy.pool import NullPool

from orchestrator import schema
from tests.database import Template
from tests.golden.compare import matches_golden
from tests.integration.empty_database import empty_database
from tests.integration.raw_rows import insert_run

__all__ = [
    "test_model_definitions_match_ddl",
    "test_single_head_revision",
    "test_up_down_consistency",
    "test_upgrade",
]

ANOTHER_RUN = "01900000-0000-7000-8000-000000000002"
MIGRATIONS = Path(schema.__file__).parent.parent / "migrations"

# What alembic does not compare: constraints, guards, predicates, settings, functions.
DEFINITIONS = """
SELECT conname || ': ' || pg_get_constraintdef(oid) FROM pg_constraint
 WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT pg_get_triggerdef(oid, true) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT relname || ' WITH ' || array_to_string(reloptions, ', ') FROM pg_class
 WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
UNION ALL
SELECT regexp_replace(pg_get_functiondef(p.oid), '^', '  ', 'gn') FROM pg_proc p
 WHERE pronamespace = 'public'::regnamespace
"""


@pytest.fixture
def empty_url(template: Template) -> Iterator[str]:
    """The owner's way to a database without a schema."""
    with empty_database(template.owner_url) as url:
        yield url


@pytest.fixture
def alembic_config() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


@pytest.fixture
def alembic_engine(empty_url: str) -> Iterator[sqlalchemy.Connection]:
    """What the imported tests migrate; env.py takes a connection as it is."""
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(empty_url), poolclass=NullPool
    )
    with engine.connect() as connection:
        yield connection


def definitions(url: str) -> str:
    with closing(psycopg.connect(url)) as connection:
        found = sorted(row[0] for row in connection.execute(DEFINITIONS.encode()))
    return "\n".join(found) + "\n"


def test_every_constraint_guard_and_predicate_is_the_reviewed_one(empty_url: str) -> None:
    schema.upgrade(empty_url)

    assert matches_golden("schema.txt", definitions(empty_url))


def test_down_takes_everything_away_and_up_brings_all_of_it_back(empty_url: str) -> None:
    schema.upgrade(empty_url)
    before = definitions(empty_url)

    schema.downgrade(empty_url, "base")
    nothing = definitions(empty_url)
    schema.upgrade(empty_url)

    assert [line.split(":")[0] for line in nothing.splitlines() if "alembic" not in line] == []
    assert definitions(empty_url) == before
    assert schema.status(empty_url).at_head


def test_each_migration_that_ran_is_told_once(empty_url: str) -> None:
    first: list[str] = []
    second: list[str] = []

    schema.upgrade(empty_url, report=first.append)
    schema.upgrade(empty_url, report=second.append)

    assert [line.split(":")[0] for line in first] == [
        f"up to {number:04}" for number in range(1, len(first) + 1)
    ]
    assert second == []


@pytest.mark.fault("F55")
def test_two_migrations_at_once_both_succeed(empty_url: str) -> None:
    """One builds an index concurrently, which waits for every other session's snapshot."""
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "migrate", "up"],
            env={**os.environ, "DATABASE_URL": empty_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=60)[0] for process in both]

    assert [process.returncode for process in both] == [0, 0], told
    assert sum("0007" in words for words in told) == 1
    with closing(psycopg.connect(empty_url)) as connection:
        invalid = connection.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
        assert invalid.fetchone() == (0,)
    assert schema.status(empty_url).at_head


def test_an_index_that_a_broken_build_left_invalid_is_built_again(empty_url: str) -> None:
    schema.upgrade(empty_url)
    schema.downgrade(empty_url, "0006")
    with closing(psycopg.connect(empty_url, autocommit=True)) as connection:
        insert_run(connection, "pending")
        insert_run(connection, "pending", id=ANOTHER_RUN)
        # Fails on the second run of the queue, and leaves an index that is of no use.
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(
                'CREATE UNIQUE INDEX CONCURRENTLY "workflowRuns_queue" ON "workflowRuns" (queue)'
            )

    schema.upgrade(empty_url)

    with closing(psycopg.connect(empty_url)) as connection:
        invalid = connection.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
        assert invalid.fetchone() == (0,)

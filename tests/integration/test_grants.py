"""The service's login may do what serving needs, and no more."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from orchestrator import schema
from orchestrator.dev.provision import as_user, ensure_role
from tests.command_line import CommandLine
from tests.database import Database, Template
from tests.integration.empty_database import empty_database
from tests.integration.raw_rows import insert_run

MAY = {
    "accessTokens": {"SELECT"},
    "activity": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "alembic_version": {"SELECT"},
    "claimRequests": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "compatExecutors": {"SELECT", "INSERT", "UPDATE"},
    "compatRuns": {"SELECT", "INSERT", "UPDATE"},
    "executors": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "currentWorkflows": {"SELECT", "INSERT", "UPDATE"},
    "keeper": {"SELECT", "UPDATE"},
    "lostSessions": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "incidents": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "bulkActs": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "operatorActs": {"SELECT", "INSERT"},
    "queues": {"SELECT", "INSERT", "UPDATE"},
    "refusedClaims": {"SELECT", "INSERT", "UPDATE"},
    "runEvents": {"SELECT", "INSERT"},
    "schedules": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "workflowRuns": {"SELECT", "INSERT", "UPDATE"},
    "workflowSteps": {"SELECT", "INSERT", "UPDATE"},
    "workflows": {"SELECT", "INSERT"},
}


@pytest.fixture
def service(module_database: Database) -> Iterator[psycopg.Connection]:
    """A transaction of the service's that is rolled back."""
    with closing(psycopg.connect(module_database.service_url)) as connection:
        yield connection
        connection.rollback()


def test_the_service_has_these_rights_on_tables_and_no_others(
    service: psycopg.Connection,
) -> None:
    rows = service.execute("""
        SELECT c.relname, p.name
          FROM pg_class c
         CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES',
                                 'TRIGGER']) AS p(name)
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
           AND has_table_privilege(c.oid, p.name)""")

    has: dict[str, set[str]] = {}
    for table, privilege in rows:
        has.setdefault(table, set()).add(privilege)
    assert has == MAY


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id integer)",
        "CREATE TEMPORARY TABLE mine (id integer)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        'ALTER TABLE "workflowRuns" ADD COLUMN mine integer',
        'ALTER TABLE "workflowRuns" DISABLE TRIGGER "workflowRuns_over_is_final"',
        'ALTER TABLE "workflowRuns" DROP CONSTRAINT "workflowRuns_leased_state"',
        'DROP INDEX "workflowRuns_dedup"',
        'DROP TABLE "workflowRuns"',
        'CREATE INDEX ON "workflowRuns" (workflow)',
        "SET session_replication_role = replica",
        "UPDATE \"accessTokens\" SET role = 'operator'",
        'UPDATE "accessTokens" SET development = true',
        'DELETE FROM "accessTokens"',
        "INSERT INTO keeper (id) VALUES (true)",
        "DELETE FROM queues",
        "UPDATE alembic_version SET version_num = '0001'",
        "UPDATE workflows SET definition = '{}'",
        "DELETE FROM workflows",
        'DELETE FROM "currentWorkflows"',
        "CREATE ROLE mine",
        "DO $$BEGIN CREATE TABLE mine (id integer); END$$",
        "CREATE SEQUENCE mine",
        "CREATE TYPE mine AS (id integer)",
        "CREATE EXTENSION pg_trgm",
        "CREATE PUBLICATION mine FOR ALL TABLES",
        'UPDATE "runEvents" SET kind = kind',
        'DELETE FROM "runEvents"',
        'TRUNCATE "runEvents"',
        'ALTER TABLE "runEvents" DISABLE TRIGGER ALL',
        'LOCK TABLE "runEvents" IN ACCESS EXCLUSIVE MODE',
        'CREATE RULE mine AS ON INSERT TO "runEvents" DO INSTEAD NOTHING',
        "SET ROLE pg_write_all_data",
        "SET ROLE pg_read_server_files",
        "SET ROLE pg_execute_server_program",
        "COPY queues TO PROGRAM 'true'",
        "COPY queues FROM PROGRAM 'true'",
        "COPY queues TO '/tmp/queues'",
        "COPY queues FROM '/etc/passwd'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT pg_stat_file('/etc/passwd')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/one')",
        "SELECT pg_reload_conf()",
        "SELECT pg_switch_wal()",
        "SELECT pg_create_physical_replication_slot('mine')",
    ],
)
def test_the_service_may_not(service: psycopg.Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        service.execute(statement.encode())


def test_the_service_cannot_become_the_owner(
    service: psycopg.Connection, module_database: Database
) -> None:
    owner = psycopg.conninfo.conninfo_to_dict(module_database.owner_url)["user"]

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        service.execute(f'SET ROLE "{owner}"'.encode())


def test_the_word_that_lets_prune_delete_is_of_no_use_to_the_service(
    service: psycopg.Connection,
) -> None:
    insert_run(service, "finished")
    service.execute("SET LOCAL dibs.pruning = 'on'")

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        service.execute('DELETE FROM "workflowRuns"')


@pytest.mark.parametrize("name", ["dibs_prune", "dibs_prune_page", "dibs_prune_acts"])
def test_prune_cannot_be_led_elsewhere_by_a_search_path(
    service: psycopg.Connection, name: str
) -> None:
    (settings,) = service.execute(
        "SELECT proconfig FROM pg_proc WHERE proname = %s AND prosecdef", [name]
    ).fetchone() or ([],)

    assert "search_path=public, pg_temp" in settings


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("statement_timeout", "5s"),
        ("lock_timeout", "4s"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("TimeZone", "UTC"),
        ("enable_seqscan", "off"),
        ("jit", "off"),
    ],
)
def test_settings_come_with_the_role(service: psycopg.Connection, setting: str, value: str) -> None:
    assert service.execute(f"SHOW {setting}".encode()).fetchone() == (value,)


def test_granting_to_a_role_that_is_missing_is_refused(module_database: Database) -> None:
    with pytest.raises(schema.RoleMissing, match="nobody"):
        schema.grant(module_database.owner_url, "nobody")


def test_granting_again_changes_nothing(
    module_database: Database, service: psycopg.Connection
) -> None:
    refused = schema.grant(module_database.owner_url, module_database.service_role)

    assert refused == []
    assert service.execute('SELECT count(*) FROM "workflowRuns"').fetchone() == (0,)


@pytest.fixture
def plain_owner(template: Template) -> Iterator[Database]:
    """Tables whose owner owns neither the database nor the schema, nor may alter a role."""
    role = f"plain_{secrets.token_hex(4)}"
    ensure_role(template.owner_url, role, "plain")
    try:
        with empty_database(template.owner_url) as url:
            with closing(psycopg.connect(url, autocommit=True)) as owner:
                owner.execute(f'GRANT CREATE ON SCHEMA public TO "{role}", PUBLIC'.encode())
            owner_url = as_user(url, role, "plain")
            schema.upgrade(owner_url)
            yield Database(owner_url, url, template.service_role)
    finally:
        with closing(psycopg.connect(template.owner_url, autocommit=True)) as owner:
            owner.execute(f'DROP ROLE "{role}"'.encode())


def test_what_cannot_be_revoked_is_named_and_is_the_exit_status(
    plain_owner: Database, command_line: CommandLine
) -> None:
    """Postgres itself warns at most: the right is PUBLIC's, and somebody else gave it."""
    role = plain_owner.service_role
    with closing(psycopg.connect(plain_owner.owner_url, autocommit=True)) as owner:
        owner.execute('GRANT DELETE ON "runEvents" TO PUBLIC')

    ended = command_line.run(
        "migrate", "grants", "--role", role, DATABASE_URL=plain_owner.owner_url
    )

    assert ended.code == 77
    for left in (
        "CREATE in the schema public",
        "TEMPORARY in the database",
        "DELETE on runEvents",
    ):
        assert f"{role} still may {left}" in ended.err
    assert "statement_timeout" in ended.err
    assert f"{role} may serve" in ended.out


def test_a_role_that_nothing_binds_is_named(plain_owner: Database) -> None:
    """The superuser, by whose URL the other's database was made."""
    superuser = str(psycopg.conninfo.conninfo_to_dict(plain_owner.service_url)["user"])

    assert schema.grant(plain_owner.service_url, superuser) == [
        f"{superuser} is a superuser: no right binds it. Let another login serve."
    ]

"""The schema's commands: up, down, where it stands, and the grants that serving needs."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql
from psycopg.types.json import Jsonb

from orchestrator.store.conninfo import unless_given
from orchestrator.store.engine import (
    IDLE_IN_TRANSACTION_TIMEOUT_MS,
    LOCK_TIMEOUT_MS,
    PLANNING,
    STATEMENT_TIMEOUT_MS,
)
from orchestrator.store.timeline import Timeline, timeline_of

# What serving needs, and no more: the ledger is append-only, tokens are read,
# runs are deleted by nobody (the keeper calls dibs_prune_page).
GRANTS = {
    "workflowRuns": "SELECT, INSERT, UPDATE",
    "workflowSteps": "SELECT, INSERT, UPDATE",
    "runEvents": "SELECT, INSERT",
    "claimRequests": "SELECT, INSERT, UPDATE, DELETE",
    "lostSessions": "SELECT, INSERT, UPDATE, DELETE",
    "incidents": "SELECT, INSERT, UPDATE, DELETE",
    "bulkActs": "SELECT, INSERT, UPDATE, DELETE",
    "operatorActs": "SELECT, INSERT",
    "activity": "SELECT, INSERT, UPDATE, DELETE",
    "refusedClaims": "SELECT, INSERT, UPDATE",
    "executors": "SELECT, INSERT, UPDATE, DELETE",
    "compatRuns": "SELECT, INSERT, UPDATE",
    "compatExecutors": "SELECT, INSERT, UPDATE",
    "queues": "SELECT, INSERT, UPDATE",
    "accessTokens": "SELECT",
    "keeper": "SELECT, UPDATE",
    "workflows": "SELECT, INSERT",
    "currentWorkflows": "SELECT, INSERT, UPDATE",
    "schedules": "SELECT, INSERT, UPDATE, DELETE",
    "alembic_version": "SELECT",
}

ROLE_SETTINGS = {
    "statement_timeout": f"{STATEMENT_TIMEOUT_MS}ms",
    "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_TIMEOUT_MS}ms",
    "TimeZone": "UTC",
    **PLANNING,
}


class RoleMissing(Exception):
    """The role to grant to does not exist."""


@dataclass(frozen=True, slots=True)
class Status:
    """
    Where a database's schema stands against this code.

    Attributes:
        current: None before the first migration.
        is_behind: This code needs migrations that have not run. A version that
            it does not know is a newer one's: migrations are safe for the version
            before, so the older code goes on serving.
        is_read_only: The server is a standby, or its transactions write nothing unless told to.
        timeline: On which the server writes; None of a standby, or when it does not tell.
    """

    current: str | None
    head: str
    is_behind: bool
    is_read_only: bool
    timeline: Timeline | None

    @property
    def at_head(self) -> bool:
        return self.current == self.head


def upgrade(url: str, *, report: Callable[[str], None] | None = None) -> None:
    """
    Bring the schema to the newest version; safe to run twice at once.

    Args:
        url: The owner's libpq URL.
        report: Called with one line for each migration that runs.
    """
    command.upgrade(_config(url, report), "head")


def downgrade(url: str, revision: str, *, report: Callable[[str], None] | None = None) -> None:
    """Take the schema down to a revision; `base` takes everything away, with all runs."""
    command.downgrade(_config(url, report), revision)


@cache
def known_revisions() -> tuple[str, ...]:
    """Every version that this code knows, the newest first."""
    scripts = ScriptDirectory.from_config(_config("", None))
    return tuple(script.revision for script in scripts.walk_revisions())


def status(url: str) -> Status:
    """Where the database stands against this code."""
    with closing(_connect(url)) as connection:
        is_known, is_read_only = connection.execute(
            "SELECT to_regclass('alembic_version') IS NOT NULL,"
            " current_setting('transaction_read_only') = 'on'"
        ).fetchone() or (False, True)
        current = None
        if is_known:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            current = str(row[0]) if row else None
        timeline = timeline_of(connection)
    newest, *older = known_revisions()
    return Status(
        current=current,
        head=newest,
        is_behind=current is None or current in older,
        is_read_only=is_read_only,
        timeline=timeline,
    )


def grant(url: str, role: str) -> list[str]:
    """
    Give a role what serving needs, and no more.

    Tables, the prune function, settings of its sessions (in this database
    only). Nobody but the owner may make temporary or permanent tables afterwards.

    Args:
        url: The owner's libpq URL.
        role: An existing role.

    Returns:
        One sentence for each thing that the owner itself was not allowed to do, and for
        each that the role may do beyond serving all the same.

    Raises:
        RoleMissing: There is no such role.
    """
    refused: list[str] = []
    with closing(_connect(url, autocommit=True)) as connection:
        if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).rowcount:
            raise RoleMissing(f'There is no role "{role}": CREATE ROLE "{role}" LOGIN first.')
        row = connection.execute("SELECT current_schema(), current_database()").fetchone()
        schema, database = row or ("public", "postgres")
        names = {
            "role": sql.Identifier(role),
            "schema": sql.Identifier(schema),
            "database": sql.Identifier(database),
        }
        with connection.transaction():
            for table, privileges in GRANTS.items():
                connection.execute(
                    sql.SQL("REVOKE ALL ON {table} FROM {role}").format(
                        table=sql.Identifier(table), **names
                    )
                )
                connection.execute(
                    sql.SQL("GRANT {privileges} ON {table} TO {role}").format(
                        privileges=sql.SQL(privileges), table=sql.Identifier(table), **names
                    )
                )
            for statement in (
                "GRANT USAGE ON SCHEMA {schema} TO {role}",
                # The first one is what the version before calls.
                "GRANT EXECUTE ON FUNCTION dibs_prune(timestamptz, integer) TO {role}",
                "GRANT EXECUTE ON FUNCTION dibs_prune_page(timestamptz, uuid, integer) TO {role}",
                "GRANT EXECUTE ON FUNCTION dibs_prune_acts(timestamptz, integer) TO {role}",
            ):
                connection.execute(sql.SQL(statement).format(**names))
        for statement in (
            "REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {role}",
            "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC, {role}",
            *(
                f"ALTER ROLE {{role}} IN DATABASE {{database}} SET {name} = '{value}'"
                for name, value in ROLE_SETTINGS.items()
            ),
        ):
            command_text = sql.SQL(statement).format(**names)
            try:
                connection.execute(command_text)
            except psycopg.errors.InsufficientPrivilege:
                refused.append(
                    f"Not allowed, ask a superuser: {command_text.as_string(connection)}"
                )
        # A REVOKE that revokes nothing is a warning to Postgres, so what is left is asked for.
        return refused + _left(connection, role, schema)


def _left(connection: psycopg.Connection[Any], role: str, schema: str) -> list[str]:
    """What a role may do beyond serving, whoever it has that from."""
    names = {"role": role, "schema": schema}
    above = connection.execute(
        """
        SELECT rolsuper, pg_has_role(oid, (SELECT relowner FROM pg_class
                                            WHERE oid = to_regclass('"runEvents"')), 'MEMBER')
          FROM pg_roles WHERE rolname = %(role)s""",
        names,
    ).fetchone() or (False, False)
    if any(above):
        return [
            f"{role} is {'a superuser' if above[0] else 'the owner of the tables'}: no right"
            " binds it. Let another login serve."
        ]
    left = connection.execute(
        """
        SELECT 'CREATE in the schema ' || %(schema)s
         WHERE has_schema_privilege(%(role)s, %(schema)s, 'CREATE')
         UNION ALL
        SELECT p || ' in the database ' || current_database()
          FROM unnest(ARRAY['CREATE', 'TEMPORARY']) AS p
         WHERE has_database_privilege(%(role)s, current_database(), p)
         UNION ALL
        SELECT p || ' on ' || (granted->>'table')
          FROM jsonb_array_elements(%(granted)s) AS granted
         CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE',
                                 'REFERENCES', 'TRIGGER']) AS p
         WHERE has_table_privilege(%(role)s, quote_ident(granted->>'table'), p)
           AND NOT granted->'privileges' ? p""",
        names
        | {
            "granted": Jsonb(
                [
                    {"table": table, "privileges": privileges.split(", ")}
                    for table, privileges in GRANTS.items()
                ]
            )
        },
    )
    return [f"{role} still may {what}: not granted here, so not revoked here." for (what,) in left]


def _connect(url: str, *, autocommit: bool = False) -> psycopg.Connection[Any]:
    defaults = unless_given(url, application_name="dibs-schema", connect_timeout=5)
    return psycopg.connect(url, autocommit=autocommit, **defaults)


def _config(url: str, report: Callable[[str], None] | None) -> Config:
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    config.attributes["url"] = url
    config.attributes["report"] = report
    return config


def _migrations() -> Path:
    """Beside the packages in a clone, inside this package in an installed wheel."""
    installed = Path(__file__).with_name("_migrations")
    return installed if installed.is_dir() else Path(__file__).parent.parent / "migrations"

"""How the migrations run: one at a time, never waiting long in a lock.

Whoever waits for a lock on a table makes every claim wait behind it. So a
migration that cannot have its lock soon is rolled back and tried again, after
a pause in which the claims go on. What has run before it stays.

The advisory lock is polled, not waited in. A session that waits in
`pg_advisory_lock` holds a snapshot, and `CREATE INDEX CONCURRENTLY` in the
session that has the lock waits for every such snapshot: the two would wait for
each other until a time-out leaves an invalid index behind.
"""

from __future__ import annotations

import os
import time
from typing import Any

import psycopg
from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from orchestrator.secret import secret_from
from orchestrator.settings import database_url
from orchestrator.store.conninfo import unless_given
from orchestrator.store.tables import metadata

ADVISORY_LOCK = 0x64696273  # "dibs"
LOCK_WAIT_SECONDS = 300
LOCK_POLL_SECONDS = 0.2
# The longest that claims stand still: two seconds with what they need themselves.
LOCK_TIMEOUT = "1s"
TRY_FOR_SECONDS = 300
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 10.0
STATEMENT_TIMEOUT = "5min"


def run_offline() -> None:
    """Print the SQL (`alembic upgrade head --sql`)."""
    context.configure(
        dialect_name="postgresql",
        target_metadata=metadata,
        literal_binds=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    given: Connection | None = context.config.attributes.get("connection")
    if given is not None:
        migrate(given)
        return
    url = context.config.attributes.get("url") or database_url(
        secret_from(os.environ, "DATABASE_URL") or ""
    )
    defaults = unless_given(url, application_name="dibs-migrate", connect_timeout=5)
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(url, **defaults),
        poolclass=NullPool,
    )
    with engine.connect() as connection:
        migrate(connection)


def migrate(connection: Connection) -> None:
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
    connection.commit()
    wait_for_lock(connection)
    try:
        run_patiently(connection)
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        connection.commit()


def run_patiently(connection: Connection) -> None:
    """Run what is to run; go on after each lock that could not be had."""
    deadline = time.monotonic() + TRY_FOR_SECONDS
    pause_seconds = FIRST_PAUSE_SECONDS
    began_at = stands_at(connection)
    while True:
        try:
            run(connection)
        except OperationalError as error:
            connection.rollback()
            if (
                not isinstance(error.orig, (LockNotAvailable, DeadlockDetected))
                or time.monotonic() + pause_seconds > deadline
                # One step more or less would count anew from where the first left off.
                or (has_relative_destination() and stands_at(connection) != began_at)
            ):
                raise
        else:
            return
        report(f"a table is in use: trying again in {pause_seconds:g} s")
        time.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, MAX_PAUSE_SECONDS)


def run(connection: Connection) -> None:
    """Run each migration in a transaction of its own, from where the schema stands."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,
        on_version_apply=announce,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()


def stands_at(connection: Connection) -> tuple[str, ...]:
    """Where the schema stands."""
    heads = MigrationContext.configure(connection).get_current_heads()
    connection.commit()
    return heads


def has_relative_destination() -> bool:
    """Whether the schema is to move by so many steps."""
    return str(context.get_revision_argument()).startswith(("+", "-"))


def announce(*, step: MigrationInfo, **_: Any) -> None:
    """Tell whoever runs this which migration has just run."""
    direction = "up to" if step.is_upgrade else "down from"
    title = (step.up_revision.doc or "") if step.up_revision else ""
    report(f"{direction} {step.up_revision_id}: {title}")


def report(line: str) -> None:
    """Tell whoever runs this, if he wants to know."""
    if told := context.config.attributes.get("report"):
        told(line)


def wait_for_lock(connection: Connection) -> None:
    """Poll for the lock in transactions of their own, so that no snapshot is held meanwhile."""
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        locked = connection.scalar(
            text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_LOCK}
        )
        connection.commit()
        if locked:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"another migration has held the lock for {LOCK_WAIT_SECONDS} seconds"
            )
        time.sleep(LOCK_POLL_SECONDS)


if context.is_offline_mode():
    run_offline()
else:
    run_online()

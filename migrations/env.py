"""How the migrations run: one at a time, never waiting long in a lock.

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
from alembic.runtime.migration import MigrationInfo
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from orchestrator.settings import database_url, secret_from
from orchestrator.store.tables import metadata

ADVISORY_LOCK = 0x64696273  # "dibs"
LOCK_WAIT_SECONDS = 300
LOCK_POLL_SECONDS = 0.2
# A migration that cannot have its lock soon gives up and is tried again,
# rather than letting every claim queue behind it.
LOCK_TIMEOUT = "2s"
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
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(url, application_name="dibs-migrate", connect_timeout=5),
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
        context.configure(
            connection=connection,
            target_metadata=metadata,
            transaction_per_migration=True,
            on_version_apply=announce,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        connection.commit()


def announce(*, step: MigrationInfo, **_: Any) -> None:
    """Tell whoever runs this which migration has just run."""
    if report := context.config.attributes.get("report"):
        direction = "up to" if step.is_upgrade else "down from"
        title = (step.up_revision.doc or "") if step.up_revision else ""
        report(f"{direction} {step.up_revision_id}: {title}")


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

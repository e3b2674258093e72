"""What `dibs token` and `dibs leases` do is noted, by whom it was done; and how it is read."""

from __future__ import annotations

import os
import pwd
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import create_engine

from orchestrator.lifecycle import Role
from orchestrator.minting import key_id_of, mint
from tests.command_line import CommandLine
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor

CREATE = ("token", "create", "--name", "web", "--role", "client")


def lines(owner: psycopg.Connection) -> list[dict[str, Any]]:
    cursor = owner.cursor(row_factory=dict_row)
    return cursor.execute('SELECT * FROM "operatorActs" ORDER BY id').fetchall()


def test_making_and_revoking_tokens_is_noted(
    command_line: CommandLine, database: Database, owner: psycopg.Connection
) -> None:
    url = database.owner_url
    made = command_line.run(*CREATE, "--queue", "a.*", "--expires", "2h", DATABASE_URL=url).out
    key_id = key_id_of(made)
    command_line.run("token", "revoke", "--key-id", key_id, DATABASE_URL=url)
    command_line.run("token", "revoke", "--name", "web", DATABASE_URL=url)

    created, revoked = lines(owner)
    user = pwd.getpwuid(os.getuid()).pw_name
    assert (created["kind"], created["subject"]) == ("create-token", "web")
    assert {line["actor"] for line in (created, revoked)} == {f"cli:{user}"}
    assert created["detail"] == {
        "keyId": key_id,
        "role": "client",
        "queues": ["a.*"],
        "lastsSeconds": 7200,
    }
    assert (revoked["kind"], revoked["subject"]) == ("revoke-tokens", key_id)
    assert made.strip().split("_", 2)[2] not in str(lines(owner))


def test_who_it_was_is_not_taken_from_the_environment(
    command_line: CommandLine, database: Database, owner: psycopg.Connection
) -> None:
    somebody = {"USER": "somebody", "LOGNAME": "somebody"}

    command_line.run(*CREATE, DATABASE_URL=database.owner_url, **somebody)

    assert "somebody" not in lines(owner)[0]["actor"]


def test_a_token_that_was_not_made_is_not_noted(
    command_line: CommandLine, database: Database, owner: psycopg.Connection, tmp_path: Path
) -> None:
    file, url = tmp_path / "token", database.owner_url
    prepare = (*CREATE, "--to", str(file), "--if-missing")
    assert command_line.run(*prepare, DATABASE_URL=url).code == 0
    assert command_line.run(*prepare, DATABASE_URL=url).code == 0
    other_role = ("token", "create", "--name", "web", "--role", "viewer")
    assert command_line.run(*other_role, DATABASE_URL=url).code == 1
    assert command_line.run(*CREATE, "--to", str(file), DATABASE_URL=url).code == 73

    assert len(lines(owner)) == 1


def test_revoking_leases_is_one_line_however_many_batches(
    command_line: CommandLine,
    database: Database,
    dibs: Dibs,
    executor: Executor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("orchestrator.cli.leases.BATCH", 2)
    for _ in range(5):
        dibs.dispatch(executor)
    revoke = ("leases", "revoke", "--all", "--yes")

    for _ in range(2):
        assert command_line.run(*revoke, DATABASE_URL=database.owner_url).code == 0

    assert [line["kind"] for line in lines(dibs.owner)] == ["revoke-leases"]


def test_a_token_lasts_for_ninety_days_unless_told_otherwise(
    command_line: CommandLine, database: Database, owner: psycopg.Connection
) -> None:
    assert command_line.run(*CREATE, DATABASE_URL=database.owner_url).code == 0
    for_ever = ("token", "create", "--name", "ops", "--role", "operator", "--expires", "never")
    assert command_line.run(*for_ever, DATABASE_URL=database.owner_url).code == 0
    engine = create_engine("postgresql+psycopg://", creator=lambda: owner)
    with engine.connect() as connection:
        mint(connection, name="made-by-a-program", role=Role.VIEWER)

    last = dict(
        owner.execute(
            'SELECT name, date_trunc(\'second\', "expiresAt" - "createdAt") FROM "accessTokens"'
        ).fetchall()
    )
    assert last == {"web": timedelta(days=90), "ops": None, "made-by-a-program": None}

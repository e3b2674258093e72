"""The commands that work on the database: `dibs migrate` and `dibs token`."""

import os
import secrets
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.dev.provision import create_database
from orchestrator.minting import is_active
from orchestrator.store.engine import open_engine
from tests.command_line import CommandLine
from tests.database import Database, Template, drop_database

Run = Callable[..., str]


@pytest.fixture
def empty_url(template: Template) -> Iterator[str]:
    """The owner's URL of a database with nothing in it."""
    name = f"dibs_empty_{secrets.token_hex(4)}"
    yield create_database(template.owner_url, name)
    drop_database(template.owner_url, name)


def start(url: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "DATABASE_URL": url},
    )


@pytest.fixture
def run(command_line: CommandLine) -> Run:
    """Runs a command on a database, which must end with this code; what it printed."""

    def run(url: str, *words: str, expect: int = 0) -> str:
        ended = command_line.run(*words, DATABASE_URL=url)
        assert ended.code == expect, ended.err
        return ended.out + ended.err

    return run


def active(url: str, token: str) -> bool:
    engine = open_engine(url, connections=1, name="test")
    try:
        with engine.begin() as connection:
            return is_active(connection, token)
    finally:
        engine.dispose()


def test_up_twice_at_once_ends_well_both_times(run: Run, empty_url: str) -> None:
    with start(empty_url, "migrate", "up") as first, start(empty_url, "migrate", "up") as second:
        for process in (first, second):
            said, _ = process.communicate(timeout=60)
            assert process.returncode == 0, said

    assert "up to date" not in run(empty_url, "migrate", "status")


def test_status_tells_a_script_whether_to_migrate(run: Run, empty_url: str) -> None:
    assert "empty" in run(empty_url, "migrate", "status", expect=1)
    run(empty_url, "migrate", "up")
    run(empty_url, "migrate", "status")
    run(empty_url, "migrate", "down", "--to", "base", "--yes")
    assert "empty" in run(empty_url, "migrate", "status", expect=1)


def test_down_asks_first(run: Run, database: Database) -> None:
    with start(database.owner_url, "migrate", "down", "--to", "base") as process:
        said, _ = process.communicate(timeout=60)

    assert process.returncode == 130, said
    run(database.owner_url, "migrate", "status")


def test_grants_need_a_role_that_exists(run: Run, database: Database) -> None:
    assert "no role" in run(
        database.owner_url, "migrate", "grants", "--role", "nobody-here", expect=78
    )


def test_the_schema_is_needed_first(run: Run, empty_url: str) -> None:
    assert "dibs migrate up" in run(empty_url, "token", "list", expect=78)


def test_the_service_s_role_makes_no_tokens(run: Run, database: Database) -> None:
    said = run(
        database.service_url, "token", "create", "--name", "web", "--role", "client", expect=77
    )

    assert "does not allow" in said


def test_a_token_is_shown_once_and_revoked_for_good(run: Run, database: Database) -> None:
    url = database.owner_url
    token = run(url, "token", "create", "--name", "web", "--role", "client").strip()
    secret = token.split("_", 2)[2]

    assert active(url, token)
    assert secret not in run(url, "token", "list")
    assert "web" in run(url, "token", "list")
    run(url, "token", "revoke", "--name", "web")
    assert not active(url, token)
    run(url, "token", "revoke", "--name", "web", expect=1)


def test_two_tokens_of_a_name_may_be_active_and_no_more(run: Run, database: Database) -> None:
    create = ("token", "create", "--name", "web", "--role", "client")
    run(database.owner_url, *create)
    run(database.owner_url, *create)

    assert "revoke one first" in run(database.owner_url, *create, expect=1)


def test_a_name_keeps_its_role_even_when_its_tokens_are_revoked(
    run: Run, database: Database
) -> None:
    url = database.owner_url
    run(url, "token", "create", "--name", "web", "--role", "client")
    run(url, "token", "revoke", "--name", "web")

    assert "for good" in run(
        url, "token", "create", "--name", "web", "--role", "operator", expect=1
    )


def test_a_token_goes_to_a_file_that_only_its_owner_can_read(
    run: Run, database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    create = ("token", "create", "--name", "web", "--role", "client", "--to", str(file))
    said = run(database.owner_url, *create)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert active(database.owner_url, file.read_text().strip())
    assert "dibs_" not in said


def test_a_token_that_is_there_already_stays(run: Run, database: Database, tmp_path: Path) -> None:
    file = tmp_path / "token"
    create = ("token", "create", "--name", "web", "--role", "client", "--to", str(file))
    run(database.owner_url, *create)
    first = file.read_text()

    run(database.owner_url, *create, "--if-missing")
    assert file.read_text() == first
    assert "Cannot create" in run(database.owner_url, *create, expect=73)
    assert file.read_text() == first


def test_a_token_that_cannot_be_made_leaves_no_file(
    run: Run, database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    run(
        database.service_url,
        *("token", "create", "--name", "web", "--role", "client", "--to", str(file)),
        expect=77,
    )

    assert not file.exists()

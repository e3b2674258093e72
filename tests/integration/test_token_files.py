"""`dibs token create --to FILE --if-missing`: what prepares a deployment, again and again."""

import re
import stat
from pathlib import Path

import psycopg
import pytest

from orchestrator.minting import is_active
from orchestrator.store.engine import open_engine
from tests.command_line import CommandLine, Ended
from tests.database import Database


class Preparation:
    """Makes sure that there is a token in a file."""

    def __init__(self, command_line: CommandLine, database: Database, file: Path) -> None:
        self.file = file
        self._command_line = command_line
        self._url = database.owner_url

    def run(self, *words: str) -> Ended:
        return self._command_line.run("token", *words, DATABASE_URL=self._url)

    def prepare(self, *more: str) -> Ended:
        words = ("--name", "fleet", "--role", "executor", "--to", str(self.file), "--if-missing")
        return self.run("create", *words, *more)

    def holds_a_good_token(self) -> bool:
        engine = open_engine(self._url, connections=1, name="test")
        try:
            with engine.begin() as connection:
                return is_active(connection, self.file.read_text().strip())
        finally:
            engine.dispose()


@pytest.fixture
def preparation(command_line: CommandLine, database: Database, tmp_path: Path) -> Preparation:
    return Preparation(command_line, database, tmp_path / "fleet-token")


def test_a_good_token_stays(preparation: Preparation) -> None:
    first = preparation.prepare()
    made = preparation.file.read_text()
    second = preparation.prepare()

    assert (first.code, second.code) == (0, 0)
    assert preparation.file.read_text() == made
    assert preparation.holds_a_good_token()


def test_a_revoked_token_is_replaced(preparation: Preparation) -> None:
    preparation.prepare()
    preparation.run("revoke", "--name", "fleet")
    assert not preparation.holds_a_good_token()

    assert preparation.prepare().code == 0
    assert preparation.holds_a_good_token()
    assert stat.S_IMODE(preparation.file.stat().st_mode) == 0o600
    assert [one.name for one in preparation.file.parent.iterdir()] == ["fleet-token"]


@pytest.mark.parametrize("left", ["", "dibs_0123456789abcdef_of-another-database\n"])
def test_what_is_of_no_use_here_is_replaced(preparation: Preparation, left: str) -> None:
    preparation.file.write_text(left)

    assert preparation.prepare().code == 0
    assert preparation.holds_a_good_token()


def test_a_file_that_holds_something_else_is_left_alone(preparation: Preparation) -> None:
    preparation.file.write_text("my notes\n")

    ended = preparation.prepare()

    assert ended.code == 73
    assert "something else" in ended.err
    assert preparation.file.read_text() == "my notes\n"


def test_a_secret_of_the_adapter_is_prepared_in_the_same_way(preparation: Preparation) -> None:
    assert preparation.prepare("--compat").code == 0
    made = preparation.file.read_text()
    assert preparation.prepare("--compat").code == 0

    assert preparation.file.read_text() == made
    assert len(made.strip()) == 64
    assert preparation.holds_a_good_token()
    preparation.run("revoke", "--key-id", made[:16])
    assert not preparation.holds_a_good_token()
    assert preparation.prepare("--compat").code == 0
    assert preparation.file.read_text() != made


@pytest.mark.parametrize("first", [(), ("--compat",)])
def test_a_token_of_one_form_is_not_taken_for_one_of_the_other(
    preparation: Preparation, first: tuple[str, ...]
) -> None:
    preparation.prepare(*first)
    made = preparation.file.read_text()

    ended = preparation.prepare(*(() if first else ("--compat",)))

    assert ended.code == 73
    assert preparation.file.read_text() == made


def test_a_secret_of_the_adapter_is_shown_once_and_kept_nowhere(
    preparation: Preparation, database: Database
) -> None:
    words = ("--name", "forest-1", "--role", "executor", "--compat")
    secret = preparation.run("create", *words).out.strip()
    listed = preparation.run("list")

    assert re.fullmatch("[0-9a-f]{64}", secret)
    assert "adapter" in listed.out
    assert secret[16:] not in listed.out
    with psycopg.connect(database.owner_url) as owner:
        kept = owner.execute('SELECT t::text FROM "accessTokens" t').fetchall()
        noted = owner.execute("SELECT detail->>'compat' FROM \"operatorActs\"").fetchall()
    assert secret[16:] not in str(kept)
    assert noted == [("true",)]


@pytest.mark.parametrize("role", ["client", "operator", "viewer"])
def test_only_an_executor_has_a_secret_of_the_adapter(preparation: Preparation, role: str) -> None:
    ended = preparation.run("create", "--name", "web", "--role", role, "--compat")

    assert ended.code == 2
    assert "--compat is for --role executor" in ended.err

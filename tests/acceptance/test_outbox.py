"""The outbox of docs/outbox.md: each row becomes one run, whatever dies between."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import httpx2
import psycopg
import pytest
from psycopg.types.json import Jsonb

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.processes import Program, environment
from tests.acceptance.stage import Stage
from tests.acceptance.waiting import eventually
from tests.database import Template, fresh_database

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
ROWS = 300


@pytest.fixture
def own_url(template: Template) -> Iterator[str]:
    """A database of somebody else's, with an outbox."""
    with fresh_database(template) as database:
        with psycopg.connect(database.owner_url, autocommit=True) as connection:
            connection.execute((EXAMPLES / "outbox.sql").read_bytes())
        yield database.owner_url


@pytest.fixture
def own(own_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(own_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def relay(own_url: str, stage: Stage, tmp_path: Path) -> Iterator[Callable[[str], Program]]:
    """Starts relays; all are gone at the test's end."""
    started: list[Program] = []

    def start(name: str) -> Program:
        settings = {
            "DATABASE_URL": own_url,
            "DIBS_URL": stage.orchestrator.url,
            "DIBS_TOKEN": stage.tokens[Role.CLIENT],
        }
        command = [sys.executable, str(EXAMPLES / "outbox.py")]
        program = Program(name, command, environment(settings), tmp_path / f"{name}.log")
        started.append(program)
        program.start()
        return program

    yield start
    for program in started:
        program.kill()


def put(own: psycopg.Connection, run: dict[str, object], count: int = 1) -> None:
    with own.transaction(), own.cursor() as cursor:
        cursor.executemany("INSERT INTO outbox (run) VALUES (%s)", [[Jsonb(run)]] * count)


def left(own: psycopg.Connection) -> int:
    row = own.execute("SELECT count(*) FROM outbox WHERE refused IS NULL").fetchone()
    assert row is not None
    return int(row[0])


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("outbox", EXAMPLES / "outbox.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_becomes_one_run_although_relays_are_killed(
    own: psycopg.Connection, relay: Callable[[str], Program], web: Client, queue: str
) -> None:
    put(own, {"workflow": "record", "queue": queue}, ROWS)
    first, _ = relay("first"), relay("second")
    eventually(lambda: left(own) < ROWS, what="something is sent")
    first.kill()
    relay("third")
    eventually(lambda: left(own) == 0, what="all is sent")

    assert web.count(queue, "pending") == ROWS


def test_a_relay_that_dies_before_its_commit_sends_nothing_twice(
    own: psycopg.Connection, stage: Stage, web: Client, queue: str
) -> None:
    put(own, {"workflow": "record", "queue": queue}, 10)
    headers = {"Authorization": f"Bearer {stage.tokens[Role.CLIENT]}"}
    with httpx2.Client(base_url=stage.orchestrator.url, headers=headers, trust_env=False) as dibs:
        with own.transaction(force_rollback=True):
            assert example().relay(own, dibs) == 10
        assert left(own) == 10
        assert example().relay(own, dibs) == 10

    assert left(own) == 0
    assert web.count(queue, "pending") == 10


def test_what_is_refused_for_good_says_why_and_holds_up_nobody(
    own: psycopg.Connection, relay: Callable[[str], Program], web: Client, queue: str
) -> None:
    put(own, {"workflow": "record", "queue": queue})
    put(own, {"workflow": "no good"})
    put(own, {"workflow": "record", "queue": queue})
    relay("relay")
    eventually(lambda: left(own) == 0, what="all is dealt with")

    assert web.count(queue, "pending") == 2
    [(refused,)] = own.execute("SELECT refused FROM outbox").fetchall()
    assert "/workflow" in refused


def test_a_token_that_is_not_known_costs_no_row(
    own: psycopg.Connection, stage: Stage, web: Client, queue: str
) -> None:
    put(own, {"workflow": "record", "queue": queue}, 10)
    for token, sent in (("dibs_wrong", 0), (stage.tokens[Role.CLIENT], 10)):
        headers = {"Authorization": f"Bearer {token}"}
        with httpx2.Client(
            base_url=stage.orchestrator.url, headers=headers, trust_env=False
        ) as dibs:
            assert example().relay(own, dibs) == sent
            assert left(own) == 10 - sent

    assert web.count(queue, "pending") == 10

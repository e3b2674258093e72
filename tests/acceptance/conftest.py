"""The stage of the acceptance tests: shared by most, each with a queue of its own."""

from __future__ import annotations

import itertools
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.callers import holder, ops, web  # noqa: F401 - fixtures
from tests.acceptance.journal import Gates, Journal
from tests.acceptance.relay import Relay, relay_to
from tests.acceptance.stage import Fleet, Stage, check_all_ledgers, stage_on
from tests.database import Template, fresh_database

SHOWN_BYTES = 6_000

numbers = itertools.count(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the processes' logs beside a failure."""
    report = yield
    fleet = getattr(item, "funcargs", {}).get("fleet")
    if report.failed and isinstance(fleet, Fleet):
        logs = [fleet.stage.orchestrator.log_file, *fleet.directory.glob("*.log")]
        for log in logs:
            if log.exists():
                end = log.read_bytes()[-SHOWN_BYTES:].decode(errors="replace")
                report.sections.append((f"end of {log.name}", end))
    return report


@pytest.fixture(scope="session")
def stage(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One orchestrator for all tests that leave it alone."""
    with (
        fresh_database(template) as database,
        stage_on(database, tmp_path_factory.mktemp("stage")) as stage,
    ):
        yield stage


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """A queue of the test's own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.removeprefix("test_"))
    return f"{name[:48].strip('-')}-{next(numbers)}"


@pytest.fixture
def fleet(stage: Stage, queue: str, tmp_path: Path) -> Iterator[Fleet]:
    """Executors; after the test every run's ledger is checked."""
    with closing(Fleet(stage, queue, tmp_path)) as fleet:
        yield fleet
    check_all_ledgers(stage.database)


@pytest.fixture
def owner(stage: Stage) -> Iterator[psycopg.Connection]:
    """The test's own way into the database, each statement a transaction."""
    with closing(psycopg.connect(stage.database.owner_url, autocommit=True)) as connection:
        yield connection


@pytest.fixture
def relay(stage: Stage) -> Iterator[Relay]:
    """A relay that an executor may be told to use."""
    with relay_to(stage.orchestrator.url) as relay:
        yield relay


@pytest.fixture
def journal(fleet: Fleet) -> Journal:
    return fleet.journal


@pytest.fixture
def gates(fleet: Fleet) -> Gates:
    return fleet.gates

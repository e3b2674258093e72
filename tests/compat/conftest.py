"""Two orchestrators that serve that executor too, an agent, and doubles."""

from __future__ import annotations

import itertools
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.callers import ops, web  # noqa: F401 - fixtures
from tests.acceptance.processes import Orchestrator
from tests.acceptance.relay import Relay, relay_to
from tests.acceptance.stage import Stage, check_all_ledgers, make_token, stage_on
from tests.compat.agent import Agent, agent_of
from tests.compat.doubles import USERS_KEY, Doubles
from tests.compat.serving import COMPAT, MakeSecret
from tests.database import Template, fresh_database

SHOWN_BYTES = 6_000

numbers = itertools.count(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the journals, and of the orchestrators' logs, beside a failure."""
    report = yield
    told = getattr(item, "funcargs", {})
    directories = [told[name] for name in ("tmp_path", "log_directory") if name in told]
    if report.failed:
        for log in sorted(log for directory in directories for log in directory.glob("*.log")):
            end = log.read_bytes()[-SHOWN_BYTES:].decode(errors="replace")
            report.sections.append((f"end of {log.name}", end))
    return report


@pytest.fixture(scope="session")
def log_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compat")


@pytest.fixture(scope="session")
def stage(template: Template, log_directory: Path) -> Iterator[Stage]:
    """One orchestrator for all tests of this folder."""
    with (
        fresh_database(template) as database,
        stage_on(database, log_directory, **COMPAT) as stage,
    ):
        yield stage


@pytest.fixture(scope="session")
def second(stage: Stage, log_directory: Path) -> Iterator[Orchestrator]:
    """Another orchestrator on the same database."""
    orchestrator = Orchestrator("second", stage.database.service_url, log_directory, **COMPAT)
    try:
        orchestrator.start()
        yield orchestrator
    finally:
        orchestrator.end()


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """A queue of the test's own, and the name of its workflow."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.removeprefix("test_"))
    return f"{name[:48].strip('-')}-{next(numbers)}"


@pytest.fixture
def secret_of(stage: Stage, queue: str) -> MakeSecret:
    """Makes secrets; each executor's name ends like the test's queue."""

    def make(name: str) -> str:
        full_name = f"{name}-{queue[-10:]}"
        return make_token(stage.database, full_name, Role.EXECUTOR, (queue,), compat=True)

    return make


@pytest.fixture
def agent() -> Iterator[Agent]:
    with agent_of(USERS_KEY) as agent:
        yield agent


@pytest.fixture
def doubles(stage: Stage, agent: Agent, tmp_path: Path) -> Iterator[Doubles]:
    """Doubles; at the end none has stumbled, and every run's ledger is checked."""
    with closing(Doubles(stage.orchestrator.url, agent.url, tmp_path)) as doubles:
        yield doubles
        doubles.check()
    check_all_ledgers(stage.database)


@pytest.fixture
def relay(stage: Stage) -> Iterator[Relay]:
    """A relay that a double may be told to use."""
    with relay_to(stage.orchestrator.url) as relay:
        yield relay


@pytest.fixture
def owner(stage: Stage) -> Iterator[psycopg.Connection]:
    """The test's own way into the database, each statement a transaction."""
    with closing(psycopg.connect(stage.database.owner_url, autocommit=True)) as connection:
        yield connection

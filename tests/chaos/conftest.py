"""The stage of the chaos tests."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from orchestrator.dev.embedded import EmbeddedPostgres
from tests.acceptance.stage import Fleet, Stage, check_all_ledgers, stage_on
from tests.chaos.judgement import require_no_500
from tests.chaos.size import sized
from tests.database import Template, fresh_database, template_on

FOLDER = Path(__file__).parent
SHOWN_BYTES = 6_000
# They start and end whole installations.
TIMEOUT_SECONDS = sized(300, 3_600)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that stands in this folder is chaos, so that no module can forget to say so."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.chaos)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the processes' logs beside a failure."""
    report = yield
    directory = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and directory is not None:
        for log in sorted(directory.glob("*.log")):
            end = log.read_bytes()[-SHOWN_BYTES:].decode(errors="replace")
            report.sections.append((f"end of {log.name}", end))
    return report


@pytest.fixture(scope="session")
def durable_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server of these tests' own, whatever the others use; it keeps what it has acknowledged."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres")) as postgres:
        yield postgres


@pytest.fixture(scope="session")
def durable_template(durable_postgres: EmbeddedPostgres) -> Iterator[Template]:
    with template_on(durable_postgres.owner_url, shared=False) as template:
        yield template


@pytest.fixture
def stage(template: Template, tmp_path: Path) -> Iterator[Stage]:
    """One orchestrator on a database of the test's own; at the end every ledger is checked."""
    with fresh_database(template) as database, stage_on(database, tmp_path) as stage:
        yield stage
        require_no_500(stage.orchestrator)
        check_all_ledgers(database)


@pytest.fixture
def fleet(stage: Stage, tmp_path: Path) -> Iterator[Fleet]:
    """Executors; they are gone before the ledgers are checked."""
    with closing(Fleet(stage, "chaos", tmp_path)) as fleet:
        yield fleet


@pytest.fixture
def owner(stage: Stage) -> Iterator[psycopg.Connection]:
    """The test's own way into the database, each statement a transaction."""
    with closing(psycopg.connect(stage.database.owner_url, autocommit=True)) as connection:
        yield connection

"""The stage of the chaos tests, and the seed of what goes wrong on it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.stage import Fleet, Stage, check_all_ledgers, stage_on
from tests.database import Template, fresh_database

SEED = "DIBS_CHAOS_SEED"
FOLDER = Path(__file__).parent
SHOWN_BYTES = 6_000

seed_key = pytest.StashKey[int]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that stands in this folder is chaos, so that no module can forget to say so."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.chaos)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show beside a failure how to play it again, and the ends of the processes' logs."""
    report = yield
    if report.failed and seed_key in item.stash:
        report.sections.append(("to play it again", f"{SEED}={item.stash[seed_key]}"))
    directory = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and directory is not None:
        for log in sorted(directory.glob("*.log")):
            end = log.read_bytes()[-SHOWN_BYTES:].decode(errors="replace")
            report.sections.append((f"end of {log.name}", end))
    return report


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What faults are drawn by: another one each time, unless `DIBS_CHAOS_SEED` says which."""
    given = os.environ.get(SEED)
    chosen = int(given) if given else secrets.randbits(32)
    request.node.stash[seed_key] = chosen
    return chosen


@pytest.fixture
def stage(template: Template, tmp_path: Path) -> Iterator[Stage]:
    """One orchestrator on a database of the test's own; at the end every ledger is checked."""
    with fresh_database(template) as database, stage_on(database, tmp_path) as stage:
        yield stage
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

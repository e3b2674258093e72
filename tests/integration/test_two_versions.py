"""Two versions at once: the one before this serves, and executes, beside it on its schema."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from orchestrator import schema
from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.processes import Executor, Orchestrator, ask
from tests.acceptance.stage import Fleet, Stage, check_all_ledgers, stage_on
from tests.acceptance.waiting import eventually
from tests.database import Database
from tests.newer_schema import ADD_COLUMN, MIGRATIONS, NewerSchema

ROOT = MIGRATIONS.parent
QUEUE = "rolling"
RUNS = 200
LEASE_SECONDS = 30
EXECUTORS = {"older-at-older", "older-at-this", "this-at-this"}


class OlderOrchestrator(Orchestrator):
    """An orchestrator of another version."""

    def __init__(self, version: Path, name: str, database_url: str, log_directory: Path) -> None:
        super().__init__(name, database_url, log_directory)
        self._environment |= imports_from(version)


def imports_from(version: Path) -> dict[str, str]:
    """What makes a process import our packages from there, wherever it starts."""
    return {"PYTHONPATH": str(version), "PYTHONSAFEPATH": "1"}


@pytest.fixture(scope="session")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code as it was before the newest migration that is committed."""
    commit = git("log", "--diff-filter=A", "--format=%H", "-1", "--", "migrations/versions")
    before = git("rev-parse", "--verify", "--quiet", f"{commit.decode().strip() or 'none'}^")
    if not before:
        pytest.skip("no version before this one: needs a git clone with its history (not shallow)")
    packed = git(
        "archive", before.decode().strip(), "orchestrator", "executor", "migrations", "tests"
    )
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        # Newer Pythons want to be told; those before 3.11.4 know no filter.
        told: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **told)
    assert imported_by(folder) == folder / "orchestrator" / "__init__.py"
    return folder


def imported_by(version: Path) -> Path:
    """Which of our packages a process of this version really imports."""
    command = [sys.executable, "-c", "import orchestrator; print(orchestrator.__file__)"]
    environment = {**os.environ, **imports_from(version)}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return Path(said.stdout.strip())


def git(*words: str) -> bytes:
    """What git says in this clone; nothing when there is no git, or no such thing."""
    program = shutil.which("git")
    if program is None:
        return b""
    command = [program, "-c", f"safe.directory={ROOT}", "-C", ROOT, *words]
    return subprocess.run(command, capture_output=True, check=False).stdout


@pytest.fixture
def stage(database: Database, tmp_path: Path) -> Iterator[Stage]:
    """An orchestrator of this version; after the test every ledger is checked."""
    with stage_on(database, tmp_path) as stage:
        yield stage
        check_all_ledgers(database)


@pytest.fixture
def fleet(stage: Stage, tmp_path: Path) -> Iterator[Fleet]:
    with closing(Fleet(stage, QUEUE, tmp_path)) as fleet:
        yield fleet


@pytest.fixture
def older_orchestrator(stage: Stage, older: Path, tmp_path: Path) -> Iterator[OlderOrchestrator]:
    """One of the version before, on the same database."""
    orchestrator = OlderOrchestrator(older, "older", stage.database.service_url, tmp_path)
    orchestrator.start()
    yield orchestrator
    orchestrator.end()


def older_executor(fleet: Fleet, older: Path, name: str, url: str | None = None) -> Executor:
    return fleet.start(name, url=url, lease_seconds=LEASE_SECONDS, **imports_from(older))


def wait_until_executed(fleet: Fleet, count: int) -> None:
    eventually(lambda: len(fleet.journal.entries()) >= count, what=f"{count} executions")


def who_executed(fleet: Fleet) -> set[str]:
    return {entry.executor for entry in fleet.journal.entries()}


def assert_each_executed_once(fleet: Fleet, web: Client, run_ids: list[str]) -> None:
    for run_id in run_ids:
        assert web.wait_for(run_id)["runState"] == "finished"
        # What was claimed when its executor was told to end, and not begun, is given back.
        assert "expired" not in web.kinds(run_id)
    assert fleet.journal.executions() == dict.fromkeys(run_ids, 1)


@pytest.mark.fault("F54")
def test_a_rolling_upgrade_executes_every_run_once(
    stage: Stage,
    fleet: Fleet,
    older: Path,
    older_orchestrator: OlderOrchestrator,
    tmp_path: Path,
) -> None:
    """Both serve, executors of both versions execute, and a migration comes in between."""
    newer = NewerSchema(tmp_path / "newer", ADD_COLUMN)
    with (
        closing(stage.client()) as web,
        closing(Client(older_orchestrator.url, stage.tokens[Role.CLIENT])) as older_web,
    ):
        run_ids = web.create_many(QUEUE, RUNS // 2, "brief", input={"seconds": 0.05})
        run_ids += older_web.create_many(QUEUE, RUNS // 2, "brief", input={"seconds": 0.05})

        first = older_executor(fleet, older, "older-at-older", older_orchestrator.url)
        older_executor(fleet, older, "older-at-this")
        wait_until_executed(fleet, RUNS // 4)
        newer.upgrade(stage.database.owner_url)
        wait_until_executed(fleet, RUNS // 2)
        assert (stage.orchestrator.is_ready(), older_orchestrator.is_ready()) == (True, True)
        fleet.start("this-at-this", lease_seconds=LEASE_SECONDS)
        run_ids += older_web.create_many(QUEUE, RUNS // 2, "brief", input={"seconds": 0.05})
        eventually(lambda: who_executed(fleet) == EXECUTORS, what="all three execute")
        first.ask_to_end()
        assert first.wait_for_exit(30) == 0
        older_orchestrator.ask_to_end()
        assert older_orchestrator.wait_for_exit() == 0

        assert_each_executed_once(fleet, web, run_ids)


def test_a_process_that_starts_on_a_newer_schema_serves(stage: Stage, tmp_path: Path) -> None:
    """As it has to when a new version is taken back, and its migrations stay."""
    NewerSchema(tmp_path / "newer", ADD_COLUMN).upgrade(stage.database.owner_url)
    second = Orchestrator("second", stage.database.service_url, tmp_path)
    try:
        second.start()
        with closing(Client(second.url, stage.tokens[Role.CLIENT])) as web:
            run_id = web.create(QUEUE)
            assert web.run(run_id)["runState"] == "pending"
    finally:
        second.end()


def test_on_an_older_schema_it_is_not_ready_says_why_and_serves_when_it_has_come_up(
    database: Database, tmp_path: Path
) -> None:
    schema.downgrade(database.owner_url, "-1")
    orchestrator = Orchestrator("early", database.service_url, tmp_path)
    try:
        # Its own start would wait until it is ready.
        super(Orchestrator, orchestrator).start()
        refused = eventually(lambda: readiness(orchestrator), what="it answers")
        schema.upgrade(database.owner_url)
        schema.grant(database.owner_url, database.service_role)
        eventually(orchestrator.is_ready, what="it is ready")
    finally:
        orchestrator.end()

    assert refused.status_code == httpx2.codes.SERVICE_UNAVAILABLE
    assert "schema-behind" in refused.text


def readiness(orchestrator: Orchestrator) -> httpx2.Response | None:
    """What it says of itself; None as long as it does not answer."""
    assert orchestrator.exit_code() is None
    try:
        return ask(f"{orchestrator.url}/readyz")
    except httpx2.TransportError:
        return None

"""The disk is full: nothing is acknowledged that is not stored, and it heals by itself."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from orchestrator.dev.embedded import EmbeddedPostgres, EmbeddedPostgresError
from tests.acceptance.waiting import eventually
from tests.chaos.fault import Fault
from tests.chaos.logged_load import LoggedLoad
from tests.chaos.promised_times import require_within
from tests.chaos.size import sized
from tests.chaos.two_orchestrators import two_orchestrators
from tests.database import fresh_database, template_on

DISK_MEGABYTES = 192
FULL_SECONDS = sized(3.0, 20.0)
TIMES = sized(1, 3)
ROUNDS = sized(5, 20)
HEALS_WITHIN_SECONDS = 30.0
CHUNK_BYTES = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of the test's own."""
    if os.geteuid() != 0:
        pytest.skip("not allowed here: only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={DISK_MEGABYTES}m,mode=0700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "dibs-test", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("not allowed here: nobody may mount a small disk on this machine")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.fault("F36")
def test_a_full_disk_acknowledges_nothing_that_is_not_stored_and_heals_when_there_is_room(
    disk: Path, tmp_path: Path, fault: Fault
) -> None:
    with (
        EmbeddedPostgres(disk / "postgres") as postgres,
        template_on(postgres.owner_url, shared=False) as template,
        fresh_database(template) as database,
        two_orchestrators(database, tmp_path) as two,
    ):
        load = two.load("full")
        with load.running():
            for _ in range(TIMES):
                load.go_on(ROUNDS)
                with full(disk):
                    full_since = datetime.now(UTC)
                    refused_since(load, full_since)
                    time.sleep(FULL_SECONDS)
                    fault.injected()
                room_since = time.monotonic()
                keep_up(postgres)
                load.go_on()
                fault.recovered(time.monotonic() - room_since)
        two.everything_is_there(load, fault)

    require_within(fault, "healed", max(fault.figures["recovered"]), HEALS_WITHIN_SECONDS)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Let there be no room on this disk until the block is left."""
    ballast = disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            fill(file.fileno())
            yield
    finally:
        ballast.unlink()


def fill(descriptor: int) -> None:
    """Write until nothing more can be written, down to the last page."""
    size = CHUNK_BYTES
    while size >= os.sysconf("SC_PAGE_SIZE"):
        try:
            os.write(descriptor, bytes(size))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            size //= 2


def refused_since(load: LoggedLoad, moment: datetime) -> None:
    """Wait until somebody felt it."""
    eventually(
        lambda: any(
            one.status == 503 and datetime.fromisoformat(one.sent) >= moment
            for one in load.history.exchanges()
        ),
        what="somebody is refused",
    )


def keep_up(postgres: EmbeddedPostgres) -> None:
    """Start the server again if it has ended, as whoever supervises it does."""

    def runs() -> bool:
        try:
            if postgres.has_ended():
                postgres.restart(immediate=True)
            psycopg.connect(postgres.owner_url, connect_timeout=2).close()
        except (EmbeddedPostgresError, psycopg.OperationalError):
            return False
        return True

    eventually(runs, within_seconds=HEALS_WITHIN_SECONDS, what="the server runs")

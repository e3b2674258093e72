"""The launcher of the embedded PostgreSQL: what it starts, keeps and ends."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from orchestrator.dev.embedded import EmbeddedPostgres, EmbeddedPostgresError

START_AND_WAIT = """
import sys, time
from pathlib import Path
from orchestrator.dev.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), durable=False) as postgres:
    print(postgres.pid, flush=True)
    time.sleep(60)
"""


def query(url: str, statement: str) -> object:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        row = connection.execute(statement).fetchone()
    assert row
    return row[0]


def is_running(pid: int) -> bool:
    """Whether a process lives; what has ended and waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_listens_on_the_loopback_address_only_and_wants_a_password(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg", durable=False) as postgres:
        assert query(postgres.owner_url, "SHOW listen_addresses") == "127.0.0.1"
        assert query(postgres.owner_url, "SHOW unix_socket_directories") == ""
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(postgres.url("dibs_owner", "guessed", "postgres"))


def test_its_files_are_closed_to_others(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg", durable=False):
        pass

    assert stat.S_IMODE((tmp_path / "pg").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "pg" / "password").stat().st_mode) == 0o600


@pytest.mark.parametrize("immediate", [False, True], ids=["in order", "as a crash"])
def test_a_restart_keeps_what_was_committed_and_the_url(tmp_path: Path, immediate: bool) -> None:
    with EmbeddedPostgres(tmp_path / "pg") as postgres:
        url = postgres.owner_url
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        postgres.restart(immediate=immediate)

        assert postgres.owner_url == url
        assert query(url, "SELECT number FROM kept") == 7


def test_durable_is_the_default(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg") as postgres:
        assert query(postgres.owner_url, "SHOW fsync") == "on"
        assert query(postgres.owner_url, "SHOW synchronous_commit") == "on"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the children of the killed")
def test_a_killed_parent_leaves_no_server_behind(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT, str(tmp_path / "pg")], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        server = int(parent.stdout.readline())
        assert is_running(server)
        parent.kill()

    wait_until(lambda: not is_running(server))


def test_a_server_that_was_left_behind_is_ended_by_the_next_start(tmp_path: Path) -> None:
    left = EmbeddedPostgres(tmp_path / "pg", durable=False)
    left.start()
    with EmbeddedPostgres(tmp_path / "pg", durable=False) as postgres:
        assert left.has_ended()
        assert query(postgres.owner_url, "SELECT 1") == 1
    left.stop()


def test_the_pid_file_of_a_machine_that_was_switched_off_is_no_obstacle(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg", durable=False):
        pid_file = (tmp_path / "pg" / "cluster" / "postmaster.pid").read_text()
    # The number now belongs to another process: this one.
    told = "\n".join([str(os.getpid()), *pid_file.splitlines()[1:]])
    (tmp_path / "pg" / "cluster" / "postmaster.pid").write_text(told + "\n")

    with EmbeddedPostgres(tmp_path / "pg", durable=False) as postgres:
        assert query(postgres.owner_url, "SELECT 1") == 1


def test_half_a_cluster_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "pg" / "cluster.new").mkdir(parents=True)
    (tmp_path / "pg" / "cluster.new" / "PG_VERSION").write_text("18\n")

    with EmbeddedPostgres(tmp_path / "pg", durable=False) as postgres:
        assert query(postgres.owner_url, "SELECT 1") == 1


def test_a_cluster_of_another_version_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg", durable=False):
        pass
    (tmp_path / "pg" / "cluster" / "PG_VERSION").write_text("15\n")

    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 15, this one is 18"):
        EmbeddedPostgres(tmp_path / "pg", durable=False).start()


def test_it_notices_that_its_server_died(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg", durable=False) as postgres:
        assert not postgres.has_ended()
        assert postgres.pid
        os.kill(postgres.pid, signal.SIGKILL)

        wait_until(postgres.has_ended)
        postgres.restart()
        assert query(postgres.owner_url, "SELECT 1") == 1

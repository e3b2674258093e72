"""One process at a time holds the data directory."""

import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.dev.data_directory import DataDirectory, DirectoryHeldError

HOLD = """
import sys, time
from pathlib import Path
from orchestrator.dev.data_directory import DataDirectory
with DataDirectory(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold_in_another_process(path: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    return holder


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    with hold_in_another_process(tmp_path) as holder:
        with pytest.raises(DirectoryHeldError, match=f"pid {holder.pid}"), DataDirectory(tmp_path):
            pass
        holder.kill()


def test_the_lock_of_a_killed_holder_is_taken_over(tmp_path: Path) -> None:
    with hold_in_another_process(tmp_path) as holder:
        holder.send_signal(signal.SIGKILL)

    with DataDirectory(tmp_path) as directory:
        assert directory.holder_was_killed


def test_who_ends_in_order_leaves_no_trace_of_a_holder(tmp_path: Path) -> None:
    with DataDirectory(tmp_path):
        pass

    with DataDirectory(tmp_path) as directory:
        assert not directory.holder_was_killed


def test_it_is_closed_to_others_and_so_are_its_secrets(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "data") as directory:
        directory.keep("token", "secret")

    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / "token").stat().st_mode) == 0o600


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    with DataDirectory(tmp_path) as directory:
        first = directory.kept("key", lambda: "one")
        second = directory.kept("key", lambda: "two")

    assert "one" == first == second


def test_the_log_of_the_start_before_moves_aside(tmp_path: Path) -> None:
    with DataDirectory(tmp_path) as directory:
        directory.log_file("orchestrator").write_text("before")
        log = directory.log_file("orchestrator")

    assert not log.exists()
    assert log.with_suffix(".log.1").read_text() == "before"

"""`dibs dev` and `dibs demo race`: one command, real processes, nothing left behind."""

import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

# Inherited by every process of a start, and so tells what it left behind.
MARK = "TEST_START"
READY = re.compile(
    r"Dibs is ready\n"
    r"  URL    (?P<url>http://127\.0\.0\.1:\d+)\n"
    r"  token  (?P<token>dibs_[0-9a-f]+_[A-Za-z0-9_-]+)\n"
    r"  try    (?P<try>curl .+)\n"
    r"  stop   Ctrl-C\n"
)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@dataclass(frozen=True)
class Started:
    """A `dibs dev` that is ready."""

    process: subprocess.Popen[str]
    data: Path
    url: str
    token: str
    try_command: str
    mark: str

    @property
    def access(self) -> dict[str, str]:
        """The settings with which `dibs runs` speaks to it."""
        return {"DIBS_URL": self.url, "DIBS_TOKEN": self.token}

    def others(self) -> list[int]:
        """The live processes of this start but the command itself."""
        return [pid for pid in marked(self.mark) if pid != self.process.pid]


def marked(mark: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if f"{MARK}={mark}".encode() in environment.split(b"\0"):
            found.append(int(folder.name))
    return found


def dibs(*words: str, mark: str = "", **environment: str) -> subprocess.Popen[str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DIBS_", "DATABASE_URL", "EXECUTOR_"))
    }
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**kept, **environment, MARK: mark},
        start_new_session=True,
    )


@contextmanager
def dibs_dev(data: Path, *words: str) -> Iterator[Started]:
    mark = secrets.token_hex(8)
    with dibs("dev", "--data", str(data), *words, mark=mark) as process:
        try:
            assert process.stdout
            lines = [process.stdout.readline() for _ in range(5)]
            found = READY.fullmatch("".join(lines))
            if found is None:
                process.terminate()
                pytest.fail("".join(lines) + process.communicate()[1])
            yield Started(process, data, found["url"], found["token"], found["try"], mark)
        finally:
            process.terminate()
            process.communicate(timeout=60)


def wait_until(happened: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A `dibs dev` with one executor, shared by the tests that leave it as it was."""
    with dibs_dev(tmp_path_factory.mktemp("running") / "data", "--executors", "1") as started:
        yield started


def test_it_says_how_to_use_it_and_the_curl_works(running: Started) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl: install curl")
    words = [*shlex.split(running.try_command), "--silent"]
    created = orjson.loads(subprocess.run(words, check=True, capture_output=True).stdout)

    with dibs("runs", "wait", created["id"], "--timeout", "30", **running.access) as wait:
        wait.communicate(timeout=60)
    assert wait.returncode == 0


def test_a_second_start_is_told_who_holds_the_data(running: Started) -> None:
    with dibs("dev", "--data", str(running.data)) as second:
        _, said = second.communicate(timeout=60)

    assert second.returncode == 75
    assert f"pid {running.process.pid}, at {running.url}" in said


def test_an_executor_that_is_killed_is_started_again(running: Started) -> None:
    before = running.others()
    executor = next(pid for pid in before if b"executor" in command_of(pid).split(b"\0"))
    os.kill(executor, signal.SIGKILL)

    wait_until(lambda: any(pid not in before for pid in running.others()))


def test_a_busy_port_that_was_asked_for_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with dibs("dev", "--data", str(tmp_path), "--port", str(port)) as process:
            _, said = process.communicate(timeout=60)

    assert process.returncode == 69
    assert f"Port {port} is in use" in said


def test_it_ends_in_order_and_the_next_start_goes_on(tmp_path: Path) -> None:
    with dibs_dev(tmp_path / "data", "--executors", "1", "--seed-runs", "3") as first:
        first.process.terminate()
        first.process.communicate(timeout=60)

        assert first.process.returncode == 0
        assert marked(first.mark) == []
    with dibs_dev(tmp_path / "data", "--executors", "0") as second:
        assert second.token == first.token
        with dibs("runs", "list", "--json", **second.access) as listing:
            listed, _ = listing.communicate(timeout=60)
        assert len(orjson.loads(listed)["items"]) == 3


def test_a_kill_leaves_no_process_and_no_lock_behind(tmp_path: Path) -> None:
    with dibs_dev(tmp_path / "data", "--executors", "1") as first:
        assert len(first.others()) >= 3
        first.process.kill()
        first.process.wait()

        wait_until(lambda: first.others() == [])
    with dibs_dev(tmp_path / "data", "--executors", "0") as second:
        assert second.token == first.token


def test_each_run_of_the_race_is_executed_once() -> None:
    with dibs("demo", "race", "--executors", "3", "--runs", "150") as race:
        table, said = race.communicate(timeout=110)

    assert race.returncode == 0, said
    numbers = dict(line.rsplit(maxsplit=1) for line in table.splitlines() if line[-1].isdigit())
    assert numbers.pop("claims refused").isdigit()
    assert numbers == {
        "created": "150",
        "executed once": "150",
        "executed twice": "0",
        "triggers failed": "0",
    }


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()

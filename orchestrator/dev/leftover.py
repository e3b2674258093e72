"""A PostgreSQL server that outlived the process it belonged to."""

import os
import signal
import subprocess
import time
from pathlib import Path

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.05


def end_leftover_server(data: Path) -> bool:
    """
    End the server that still runs on this cluster, and clear its traces.

    The caller holds the cluster's directory for itself, so whatever runs there
    is nobody's. A pid file whose process is not such a server (the machine, or
    the container, was started again and gave the number to another) would keep
    the next server from starting, and is removed.

    Returns:
        Whether a server had to be ended.
    """
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text(encoding="ascii").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return False
    found = False
    for ending in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if not _serves(pid, data):
            break
        found = True
        os.kill(pid, ending)
        _wait_while_it_serves(pid, data)
    pid_file.unlink(missing_ok=True)
    return found


def _wait_while_it_serves(pid: int, data: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while _serves(pid, data) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _serves(pid: int, data: Path) -> bool:
    """Whether this process is a PostgreSQL server on this cluster."""
    words = _command_line(pid)
    return "postgres" in words and str(data) in words


def _command_line(pid: int) -> str:
    """The words of a live process, NUL or space between them; empty when it is gone."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    listed = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    return subprocess.run(listed, capture_output=True, text=True, check=False).stdout

"""A child process of ours: started on a leash, logged to a file, ended in order."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2

from orchestrator.dev.leash import leash

READY_TIMEOUT_SECONDS = 30.0
LOOK_SECONDS = 0.05
TAIL_LINES = 5


class ChildError(Exception):
    """A child did not come up or gave up; the message says which and where its log is."""


class Child:
    """
    One program that serves HTTP, and may be started again after it ended.

    It has a session of its own, so that Ctrl-C reaches only this process, which
    then ends its children in the right order; it ends when this process dies.

    Args:
        name: What people are told about it.
        ready_url: Answers with success as soon as it can be used.
        log_file: Where all it prints goes, start after start.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        ready_url: str,
        log_file: Path,
    ) -> None:
        self.name = name
        self.log_file = log_file
        self._command = list(command)
        self._environment = dict(environment)
        self._ready_url = ready_url
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id once it was started."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it, for the first time or again."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
                preexec_fn=leash(signal.SIGTERM),
            )

    def wait_until_ready(self) -> None:
        """
        Wait until it can be used.

        Raises:
            ChildError: It ended, or takes too long.
        """
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while self.exit_code() is None and time.monotonic() < deadline:
            try:
                # Plain HTTP on loopback: certificates would be read at each look, for nothing.
                if httpx2.get(self._ready_url, timeout=2, trust_env=False, verify=False).is_success:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(LOOK_SECONDS)
        if self.exit_code() is None:
            raise self.error(f"is not ready after {READY_TIMEOUT_SECONDS:.0f} s")
        raise self.error(f"ended with {self.exit_code()}")

    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return None if self._process is None else self._process.poll()

    def ask_to_end(self) -> None:
        """SIGTERM; nothing when it has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def end(self, within_seconds: float) -> None:
        """SIGTERM, and SIGKILL when that was not enough; returns when it has ended."""
        self.ask_to_end()
        if self._process is None:
            return
        try:
            self._process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            # The whole group: a server's workers would outlive it.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def error(self, what: str) -> ChildError:
        """What went wrong with it, with the end of its log."""
        said = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        return ChildError(
            "\n".join([f"{self.name} {what}, see {self.log_file}", *said[-TAIL_LINES:]])
        )

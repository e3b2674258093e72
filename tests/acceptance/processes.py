"""Orchestrators and executors as the processes that they are."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import orjson

from orchestrator.dev.leash import leash
from orchestrator.dev.ports import LOOPBACK
from tests.acceptance.client import Client
from tests.acceptance.waiting import eventually
from tests.ports import OwnPort

END_SECONDS = 15.0
SECRET_KEY = "only for tests, the same for all"


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module."""
    return [sys.executable, "-m", module, *arguments]


class Program:
    """One process, which may be started again; it ends with the tests, whatever happens."""

    def __init__(
        self, name: str, command: list[str], environment: Mapping[str, str], log_file: Path
    ) -> None:
        self.name = name
        self.log_file = log_file
        self._command = command
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
                preexec_fn=leash(signal.SIGKILL),
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was never started"
        return self._process

    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self.process.poll()

    def has_ended(self) -> bool:
        """Whether nothing of it runs; also before its first start."""
        return self._process is None or self._process.poll() is not None

    def ask_to_end(self) -> None:
        """SIGTERM."""
        self.process.terminate()

    def wait_for_exit(self, within_seconds: float = END_SECONDS) -> int:
        """Wait until it has ended by itself; its exit code."""
        return self.process.wait(within_seconds)

    def kill(self) -> None:
        """SIGKILL, to whatever it has started too; returns when it is gone."""
        if not self.has_ended():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.wait_for_exit()

    def pause(self) -> None:
        """SIGSTOP."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def end(self) -> None:
        """SIGTERM, and SIGKILL when that was not enough."""
        if self.has_ended():
            return
        self.ask_to_end()
        try:
            self.wait_for_exit()
        except subprocess.TimeoutExpired:
            self.kill()

    def said(self, event: str) -> list[dict[str, Any]]:
        """The events of this name in its log, oldest first."""
        if not self.log_file.exists():
            return []
        found = []
        for line in self.log_file.read_bytes().splitlines():
            if line.startswith(b"{") and line.endswith(b"}"):
                logged = orjson.loads(line)
                if logged.get("event") == event:
                    found.append(logged)
        return found


class Orchestrator(Program):
    """One orchestrator on a port of its own, the same after a restart."""

    def __init__(self, name: str, database_url: str, log_directory: Path, **variables: str) -> None:
        """
        Args:
            variables: Further ones of its environment.
        """
        self._port = OwnPort()
        self.url = f"http://{LOOPBACK}:{self._port.number}"
        settings = {
            "DATABASE_URL": database_url,
            "DIBS_SECRET_KEY": SECRET_KEY,
            **variables,
        }
        super().__init__(
            name,
            python("orchestrator", "serve", "--port", str(self._port.number)),
            environment(settings),
            log_directory / f"{name}.log",
        )

    def start(self) -> None:
        """Start, and wait until it is ready."""
        self.launch()
        eventually(self.is_ready, what=f"{self.name} is ready")

    def launch(self) -> None:
        """Start, and wait for nothing."""
        super().start()

    def is_ready(self) -> bool:
        assert self.exit_code() is None, f"{self.name} ended with {self.exit_code()}"
        try:
            return ask(f"{self.url}/readyz").is_success
        except httpx2.HTTPError:
            return False


class Executor(Program):
    """One executor with the handlers of `handlers.py`."""

    def __init__(
        self, name: str, settings: Mapping[str, str], log_directory: Path, caller_token: str
    ) -> None:
        self.url = ""
        self._starts = 0
        self._caller_token = caller_token
        self._clients: list[Client] = []
        super().__init__(
            name,
            python("executor", "run", "tests.acceptance.handlers:app"),
            environment({"EXECUTOR_NAME": name, "EXECUTOR_HTTP_PORT": "0", **settings}),
            log_directory / f"executor-{name}.log",
        )

    def start(self) -> None:
        """Start, and wait until it works."""
        self.launch()
        started = eventually(self._started, what=f"{self.name} has started")
        self.url = started["url"]

    def launch(self) -> None:
        """Start, and wait for nothing."""
        self._starts += 1
        super().start()

    def caller(self, token: str | None = None) -> Client:
        """Somebody who triggers here; with the tests' client token unless told otherwise."""
        client = Client(self.url, self._caller_token if token is None else token)
        self._clients.append(client)
        return client

    def health(self) -> dict[str, Any]:
        body: dict[str, Any] = ask(f"{self.url}/health").json()
        return body

    def close(self) -> None:
        """Kill it and hang up."""
        self.kill()
        for client in self._clients:
            client.close()

    def _started(self) -> dict[str, Any] | None:
        assert self.exit_code() is None, f"{self.name} ended with {self.exit_code()}"
        # The version before wrote its events with hyphens.
        started = self.said("executor_started") or self.said("executor-started")
        return started[-1] if len(started) == self._starts else None


def ask(url: str) -> httpx2.Response:
    """A GET of what is on this machine: certificates would be read each time, for nothing."""
    return httpx2.get(url, timeout=5, trust_env=False, verify=False)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what would steer ours, and these settings."""
    ours = ("DIBS_", "EXECUTOR_", "PG", "DATABASE_URL", "ORCHESTRATOR_URL", "OTEL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONWARNINGS": "default", **settings}

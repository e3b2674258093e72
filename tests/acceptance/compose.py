"""docker-compose.yml as a person runs it, in a project of the tests' own."""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.dev.ports import LOOPBACK, free_ports

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "docker-compose.yml"
BASE_IMAGES = ("postgres:18", "python:3.12-slim")
EXECUTORS = ("executor-1", "executor-2")
# Short, so that what a killed executor held is soon executed by the other one.
LEASE_SECONDS = 5
ASK_SECONDS = 20
PULL_SECONDS = 120
COMMAND_SECONDS = 900
SHOWN_CHARACTERS = 6_000


@dataclass(frozen=True)
class Compose:
    """One project; `url` is its orchestrator's published port."""

    url: str
    _command: tuple[str, ...]
    _environment: dict[str, str]

    def do(self, *words: str) -> str:
        """`docker-compose <words>`, which must succeed; what it wrote to standard output."""
        ended = subprocess.run(
            [*self._command, *words],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        said = (ended.stdout + ended.stderr)[-SHOWN_CHARACTERS:]
        assert ended.returncode == 0, f"docker-compose {' '.join(words)}:\n{said}"
        return ended.stdout

    def up(self) -> None:
        """Bring everything up, or up again; returns when the orchestrator is ready."""
        try:
            self.do("up", "-d")
        except AssertionError as failure:
            failure.add_note(self.do("logs", "--no-color", "--tail", "30"))
            raise

    def prepare(self, *words: str) -> str:
        """A command beside the database, as its owner."""
        return self.do("run", "--rm", "--no-deps", "-T", "prepare", *words).strip()

    def inside(self, service: str, *words: str) -> str:
        """A command in a running container."""
        return self.do("exec", "-T", service, *words).strip()

    def said(self, service: str, event: str) -> list[dict[str, str]]:
        """The events of this name in a service's log, oldest first."""
        lines = self.do("logs", "--no-color", service).splitlines()
        logged = [json.loads(line[line.index("{") :]) for line in lines if '{"' in line]
        return [one for one in logged if one["event"] == event]


def why_not() -> str | None:
    """None when compose can be used here; else what is missing, in a few words."""
    if not _works("docker", "version"):
        return "no Docker engine answers"
    if not _command():
        return "docker-compose is not installed"
    for image in BASE_IMAGES:
        if not _works("docker", "image", "inspect", image) and not _works("docker", "pull", image):
            return f"the Docker engine cannot give {image}"
    return None


@contextmanager
def project(directory: Path) -> Iterator[Compose]:
    """Images that are built and nothing that runs; all of it is gone at the end."""
    lease = {"environment": {"EXECUTOR_LEASE_SECONDS": LEASE_SECONDS}}
    changes = directory / "changes.json"
    changes.write_text(json.dumps({"services": dict.fromkeys(EXECUTORS, lease)}))
    (port,) = free_ports(1)
    compose = Compose(
        f"http://{LOOPBACK}:{port}",
        (*_command(), "-f", str(FILE), "-f", str(changes)),
        {
            **{name: value for name, value in os.environ.items() if name != "COMPOSE_FILE"},
            "COMPOSE_PROJECT_NAME": f"dibs-test-{secrets.token_hex(4)}",
            "DIBS_PUBLISHED_PORT": str(port),
        },
    )
    try:
        compose.do("build")
        yield compose
    finally:
        compose.do("down", "--volumes", "--rmi", "local", "--timeout", "1")


def _command() -> tuple[str, ...]:
    for command in (("docker", "compose"), ("docker-compose",)):
        if _works(*command, "version"):
            return command
    return ()


def _works(*words: str) -> bool:
    seconds = PULL_SECONDS if "pull" in words else ASK_SECONDS
    try:
        return not subprocess.run(words, capture_output=True, timeout=seconds).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False

"""`dibs` as whoever has a role, and runs for it to be used on."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import orjson

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, outcome_of
from tests.acceptance.stage import Stage
from tests.command_line import CommandLine, Ended

DIBS = shlex.join([sys.executable, "-m", "orchestrator"])
# Whatever steers a command; readline sets the size of the terminal for whoever is started here.
STEERS = (
    *("DIBS_", "DATABASE_URL", "EXECUTOR_"),
    *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PYTHONUNBUFFERED"),
)


@dataclass(frozen=True)
class Dibs:
    """Runs commands against one orchestrator."""

    stage: Stage
    command_line: CommandLine

    def __call__(self, *words: str, role: Role = Role.OPERATOR, **environment: str) -> Ended:
        """`dibs <words>`, in this process."""
        access = {"DIBS_URL": self.stage.orchestrator.url, "DIBS_TOKEN": self.stage.tokens[role]}
        return self.command_line.run(*words, **(access | environment))

    def json(self, *words: str, **options: Any) -> Any:
        """What a command that must succeed prints with `--json`."""
        ended = self(*words, "--json", **options)
        assert ended.code == 0, ended.err
        return orjson.loads(ended.out)

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """A line of shell, in which `dibs` is what it is to users; fails as its first part does."""
        return subprocess.run(
            ["bash", "-c", f'set -o pipefail; dibs() {{ {DIBS} "$@"; }}; {script}'],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(),
        )

    def environment(self, role: Role = Role.OPERATOR) -> dict[str, str]:
        """Of a process that is to be this command."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(STEERS)}
        access = {"DIBS_URL": self.stage.orchestrator.url, "DIBS_TOKEN": self.stage.tokens[role]}
        return {**kept, **access, "TERM": "xterm-256color"}


def failed_runs(web: Client, holder: Client, queue: str, count: int) -> list[str]:
    """New runs of a queue that have failed, the oldest first."""
    ids = web.create_many(queue, count)
    dispatches = holder.claim(queue, limit=count)
    error = {"status": "error", "message": "no", "retryable": False}
    holder.report(*(outcome_of(each, error) for each in dispatches))
    assert web.count(queue, "failed") == count
    return ids

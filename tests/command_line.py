"""The `dibs` command, run in the tests' own process."""

import os
import sys
from dataclasses import dataclass

import pytest

from orchestrator.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


class CommandLine:
    """Runs `dibs` in an environment that holds no settings but those given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def run(self, *words: str, **environment: str) -> Ended:
        """`dibs <words>`, whose end is an exit code whatever happens."""
        for name in list(os.environ):
            if name.startswith(("DIBS_", "DATABASE_URL", "EXECUTOR_", "COLUMNS")):
                self._monkeypatch.delenv(name)
        for name, value in environment.items():
            self._monkeypatch.setenv(name, value)
        self._monkeypatch.setattr(sys, "argv", ["dibs", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, printed.out, printed.err)

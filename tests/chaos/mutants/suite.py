"""One run of pytest on a copy of the tree, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from orchestrator.dev.leash import leash

# Beside this, each test has its own time (pytest-timeout).
MOST_SECONDS = 900.0
END_SECONDS = 30.0
TAIL_LINES = 25

PASSED, FAILED, ERROR, SKIPPED = "passed", "failed", "error", "skipped"


@dataclass(frozen=True)
class Outcome:
    """
    How a suite ended.

    Attributes:
        cases: What became of each test, by node id; a fixture's or a module's fault is an
            `error`, never `failed`. Empty: pytest did not come to an end.
        said: The end of what it printed.
    """

    cases: Mapping[str, str]
    seconds: float
    said: str

    def of(self, test: str) -> set[str]:
        """What became of a test; of all its parameters when it names none."""
        return {
            result
            for case, result in self.cases.items()
            if case == test or case.startswith(f"{test}[")
        }


class Suite:
    """
    Tests that run now; started from the main thread, and ended with this process.

    Args:
        tree: What they are run on: its own copy of every module is the one that is imported.
        results: A file to write.
    """

    def __init__(self, tree: Path, tests: Sequence[str], results: Path) -> None:
        self._results = results
        self._log = results.with_suffix(".log")
        self._began = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
        command += ["--tb=short", f"--junit-xml={results}", *tests]
        own = {"PYTEST_ADDOPTS": "", "PYTHONPATH": str(tree)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=tree,
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=leash(signal.SIGTERM),
            )

    @property
    def has_ended(self) -> bool:
        """Whether there is an outcome; one that takes too long is ended here."""
        if self._process.poll() is None and self._seconds > MOST_SECONDS:
            self.end()
        return self._process.poll() is not None

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def outcome(self) -> Outcome:
        """How it ended; once it has."""
        said = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        cases = _cases(self._results) if self._results.exists() else {}
        return Outcome(cases, self._seconds, "\n".join(said[-TAIL_LINES:]))

    def end(self) -> None:
        """Let it wind up what it has started, and wait for it."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _cases(results: Path) -> dict[str, str]:
    cases: dict[str, str] = {}
    for case in ET.parse(results).iter("testcase"):
        module = case.get("classname", "").replace(".", "/")
        node = f"{module}.py::{case.get('name')}" if module else str(case.get("name"))
        # A test that failed, and whose fixtures failed after it, comes twice.
        if cases.get(node) != FAILED:
            cases[node] = _result(case)
    return cases


def _result(case: ET.Element) -> str:
    for tag, result in (("failure", FAILED), ("error", ERROR), ("skipped", SKIPPED)):
        if case.find(tag) is not None:
            return result
    return PASSED

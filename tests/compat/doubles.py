"""Doubles as the processes that they are, and what their journals tell."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.client import Client
from tests.acceptance.processes import Program, python
from tests.acceptance.waiting import eventually
from tests.compat.double.journal import ASKED, CRASHED, MALFORMED, REACHED, STARTED
from tests.compat.double.options import Options
from tests.compat.double.web_token import sign

NEVER_SECONDS = 3600.0
USERS_KEY = "what agent and executors know of users"
USER_ID = 42

Json = dict[str, Any]


class Double(Program):
    """One double; a restart is a new process under the same secret."""

    def __init__(self, options: Options, directory: Path) -> None:
        self.options = options
        self.url = ""
        self._starts = 0
        super().__init__(
            options.name,
            python("tests.compat.double", options.to_json()),
            os.environ,
            directory / f"double-{options.name}.log",
        )

    def start(self) -> None:
        """Start, and wait until it works."""
        self._starts += 1
        super().start()
        self.url = eventually(self._started, what=f"{self.name} has started")["url"]

    @contextmanager
    def user(self, user_id: int = USER_ID) -> Iterator[Client]:
        """Somebody who triggers runs here."""
        token = sign({"id": user_id, "exp": int(time.time()) + 600}, USERS_KEY)
        client = Client(self.url, token)
        try:
            yield client
        finally:
            client.close()

    def trigger(self, run: int | str, given: Json | None = None) -> int:
        """Trigger a run by number or id, with what it waits for; the status of the answer."""
        with self.user() as user:
            body = None if given is None else {"pendingData": given}
            return user.trigger(str(run), body).status_code

    def asked(self, to: str = "orchestrator", path: str = "") -> list[Json]:
        """What it asked and was answered, in the order of sending."""
        found = [
            one for one in self.said(ASKED) if one["to"] == to and one["path"].startswith(path)
        ]
        return sorted(found, key=lambda one: one["n"])

    def reports(self) -> list[Json]:
        return self.asked(path="/api/workflow-orchestrator/update-step")

    def wait_for_reports(self, count: int) -> list[Json]:
        """Wait until so many were answered, which is later than the run shows it; all of them."""

        def look() -> list[Json] | None:
            reports = self.reports()
            return reports if len(reports) >= count else None

        return eventually(look, what=f"{count} reports of {self.name}")

    def wait_for_answers(self, path: str, count: int) -> None:
        """Wait until it was answered so often on a path."""
        eventually(
            lambda: len([one for one in self.asked(path=path) if one["status"]]) >= count,
            what=f"{count} answers to {self.name} on {path}",
        )

    def wait_at(self, point: str) -> Json:
        """Wait until it is held at a point; which run and step it is at."""
        return eventually(
            lambda: [one for one in self.said(REACHED) if one["point"] == point],
            what=f"{self.name} at {point}",
        )[-1]

    def open(self, point: str) -> None:
        """Let it go on from a point, and never hold it there again."""
        (Path(self.options.gates) / point).touch()

    def stumbled(self) -> list[Json]:
        """Where an answer was not as it must be."""
        return [*self.said(MALFORMED), *self.said(CRASHED)]

    def _started(self) -> Json | None:
        assert self.exit_code() is None, f"{self.name} ended with {self.exit_code()}"
        started = self.said(STARTED)
        return started[-1] if len(started) == self._starts else None


@dataclass
class Doubles:
    """Those of one test; all are gone at its end, and none must have stumbled."""

    orchestrator_url: str
    agent_url: str
    directory: Path
    started: list[Double] = field(default_factory=list)
    _names: Iterator[int] = field(default_factory=itertools.count)

    def add(self, secret: str, **options: Any) -> Double:
        """A double that is not started yet; it does not poll unless told how often."""
        name = f"{next(self._names)}"
        gates = self.directory / f"gates-{name}"
        gates.mkdir()
        told = {
            "orchestrator_url": self.orchestrator_url,
            "poll_seconds": NEVER_SECONDS,
            "gates": str(gates),
            **options,
        }
        double = Double(
            Options(
                name=name,
                agent_url=self.agent_url,
                secret=secret,
                users_key=USERS_KEY,
                **told,
            ),
            self.directory,
        )
        self.started.append(double)
        return double

    def start(self, secret: str, **options: Any) -> Double:
        """A double that works."""
        double = self.add(secret, **options)
        double.start()
        return double

    def close(self) -> None:
        for double in self.started:
            double.kill()

    def check(self) -> None:
        """Every answer to each of them was one that the real executor can use."""
        assert [told for double in self.started for told in double.stumbled()] == []

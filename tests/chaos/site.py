"""A whole installation: durable Postgres, orchestrators, executors, and what they are told.

In front of each orchestrator stands a proxy that loses nothing unless it is told
to, and writes down every exchange: what the clients were told outlives the
clients. Everything is a process, and whatever has died is started again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg

from orchestrator.dev.embedded import EmbeddedPostgres
from orchestrator.lifecycle import Role
from tests.acceptance.journal import Journal
from tests.acceptance.processes import Executor, Orchestrator
from tests.acceptance.stage import Fleet
from tests.acceptance.waiting import LOOK_AGAIN_SECONDS
from tests.chaos.history import Exchange
from tests.chaos.network import Network
from tests.chaos.repeating import RepeatingClient
from tests.database import Database

QUEUE = "chaos"
RECOVERY_SECONDS = 120.0
"""How long anything may take to be well again before a test gives up on it."""
MOST_STEPS = 4
MOST_CRASHES = 100


@dataclass(frozen=True)
class Node:
    """One orchestrator and the way to it."""

    orchestrator: Orchestrator
    network: Network


@dataclass
class Site:
    """
    What is there, and what was acknowledged.

    Attributes:
        lengths: How many steps each run has whose creation was answered.
    """

    postgres: EmbeddedPostgres
    database: Database
    nodes: list[Node]
    fleet: Fleet
    lengths: dict[str, int] = field(default_factory=dict)

    @property
    def executors(self) -> list[Executor]:
        return self.fleet.started

    @property
    def journal(self) -> Journal:
        return self.fleet.journal

    @property
    def logs(self) -> list[Path]:
        """What clients were told, one file for each orchestrator."""
        return [node.network.history.path for node in self.nodes]

    def exchanges(self) -> list[Exchange]:
        """Every request of this site, and its answer."""
        return [one for node in self.nodes for one in node.network.history.exchanges()]

    def client(self, number: int = 0, role: Role = Role.CLIENT) -> RepeatingClient:
        """Somebody who speaks to one of the orchestrators until he is answered."""
        url = self.nodes[number % len(self.nodes)].network.url
        token = self.fleet.stage.tokens[role]
        return RepeatingClient(url, token, self.keep_up, RECOVERY_SECONDS)

    def define(self) -> None:
        """Workflows of one to as many steps as any run has, each of which takes a moment."""
        with closing(self.client(role=Role.OPERATOR)) as operator:
            for length in range(1, MOST_STEPS + 1):
                steps = [
                    {
                        "name": f"step-{number}",
                        "type": "brief",
                        "next": [f"step-{number + 1}"] if number < length else [],
                    }
                    for number in range(1, length + 1)
                ]
                operator.ask("PUT", f"/v1/workflows/{workflow_of(length)}", {"steps": steps})

    def create(self, lengths: Sequence[int], *, step_seconds: float) -> None:
        """A new run of each of these lengths, under a key of its own."""
        first = len(self.lengths)
        runs = [
            {
                "workflow": workflow_of(length),
                "queue": QUEUE,
                "input": {"seconds": step_seconds},
                "maxCrashes": MOST_CRASHES,
                "idempotencyKey": f"run-{first + number}",
            }
            for number, length in enumerate(lengths)
        ]
        with closing(self.client(first)) as client:
            created = client.ask("POST", "/v1/runs/batch", {"runs": runs})["runs"]
        self.lengths |= {run["id"]: length for run, length in zip(created, lengths, strict=True)}

    def begun(self) -> int:
        """A number that grows whenever a handler begins."""
        path = self.journal.path
        return path.stat().st_size if path.exists() else 0

    def keep_up(self) -> None:
        """Start what has ended, as whoever supervises processes does."""
        for program in (*(node.orchestrator for node in self.nodes), *self.executors):
            if program.has_ended():
                program.launch()

    def wait(
        self,
        look: Callable[[], object],
        *,
        what: str,
        look_again_seconds: float = LOOK_AGAIN_SECONDS,
    ) -> None:
        """
        Wait for something while whatever ends is started again.

        Raises:
            AssertionError: It does not come.
        """
        give_up_at = time.monotonic() + RECOVERY_SECONDS
        while not look():
            assert time.monotonic() < give_up_at, f"not within {RECOVERY_SECONDS} s: {what}"
            self.keep_up()
            time.sleep(look_again_seconds)

    def wait_for_work(self) -> None:
        """Wait until one more handler begins."""
        before = self.begun()
        self.wait(lambda: self.begun() > before, what="somebody begins a step")

    def rest(self, seconds: float) -> None:
        """Let time pass, while whatever ends is started again."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.keep_up()
            time.sleep(LOOK_AGAIN_SECONDS)

    def is_open(self) -> bool:
        """Whether Postgres accepts connections."""
        return self._live() < math.inf

    def finish(self) -> None:
        """
        Wait until all runs are over.

        Raises:
            AssertionError: For a long time none of them has ended.
        """
        left: float = len(self.lengths) + 1
        while left:
            fewer = partial(self.has_fewer_live_than, left)
            self.wait(fewer, what=f"fewer than {left} live runs", look_again_seconds=0.25)
            left = self._live()

    def has_fewer_live_than(self, count: float) -> bool:
        """Whether Postgres says that fewer runs than this are not over."""
        return self._live() < count

    def _live(self) -> float:
        """How many runs are not over; no number while Postgres is away."""
        try:
            with closing(psycopg.connect(self.database.owner_url)) as owner:
                return owner.execute(
                    'SELECT FROM "workflowRuns" WHERE "finishedAt" IS NULL'
                ).rowcount
        except psycopg.OperationalError:
            return math.inf


def workflow_of(length: int) -> str:
    """The name of the workflow of so many steps."""
    return f"of-{length}"

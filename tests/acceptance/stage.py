"""Where a test plays: a database, an orchestrator that serves it, and who may speak to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from orchestrator.lifecycle import Role
from orchestrator.minting import ALL_QUEUES, mint
from orchestrator.store.engine import open_engine
from tests.acceptance.client import Client
from tests.acceptance.journal import GATES, JOURNAL, Gates, Journal
from tests.acceptance.processes import Executor, Orchestrator
from tests.database import Database
from tests.ledger import check_ledgers

LEASE_SECONDS = 2


@dataclass(frozen=True)
class Stage:
    """One orchestrator on a database of its own, and a token for each role, for all queues."""

    database: Database
    orchestrator: Orchestrator
    tokens: dict[Role, str]

    def client(self, role: Role = Role.CLIENT) -> Client:
        return Client(self.orchestrator.url, self.tokens[role])


@dataclass
class Fleet:
    """The executors of one test; all are gone at its end."""

    stage: Stage
    queue: str
    directory: Path
    started: list[Executor] = field(default_factory=list)

    @property
    def journal(self) -> Journal:
        return Journal(self.directory / "journal")

    @property
    def gates(self) -> Gates:
        return Gates(self.directory)

    def add(
        self,
        name: str,
        *,
        slots: int = 4,
        lease_seconds: int = LEASE_SECONDS,
        queue: str | None = None,
        url: str | None = None,
        **settings: str,
    ) -> Executor:
        """
        An executor that is not started yet.

        Args:
            queue: What it polls; the test's own unless told otherwise.
            url: Where it finds the orchestrator.
            settings: Further variables of its environment.
        """
        executor = Executor(
            name,
            {
                "ORCHESTRATOR_URL": url or self.stage.orchestrator.url,
                "EXECUTOR_TOKEN": self.stage.tokens[Role.EXECUTOR],
                "EXECUTOR_QUEUES": queue or self.queue,
                "EXECUTOR_SLOTS": str(slots),
                "EXECUTOR_LEASE_SECONDS": str(lease_seconds),
                "EXECUTOR_POLL_INTERVAL_S": "0.5",
                JOURNAL: str(self.journal.path),
                GATES: str(self.gates.path),
                **settings,
            },
            self.directory,
            self.stage.tokens[Role.CLIENT],
        )
        self.started.append(executor)
        return executor

    def start(self, name: str, **options: object) -> Executor:
        """An executor that works."""
        executor = self.add(name, **options)  # type: ignore[arg-type]
        executor.start()
        return executor

    def start_idle(self, name: str, **options: object) -> Executor:
        """An executor that gets nothing by polling, only by being triggered."""
        return self.start(name, queue=f"nothing-{self.queue}", **options)

    def close(self) -> None:
        for executor in self.started:
            executor.close()


@contextmanager
def stage_on(database: Database, log_directory: Path, **variables: str) -> Iterator[Stage]:
    """
    A stage on this database; the orchestrator ends with the block.

    Args:
        variables: Further ones of the orchestrator's environment.
    """
    orchestrator = Orchestrator("orchestrator", database.service_url, log_directory, **variables)
    try:
        orchestrator.start()
        yield Stage(
            database, orchestrator, {role: make_token(database, role.value, role) for role in Role}
        )
    finally:
        orchestrator.end()


def make_token(
    database: Database,
    name: str,
    role: Role,
    queues: tuple[str, ...] = ALL_QUEUES,
    *,
    compat: bool = False,
) -> str:
    """A new token; a secret of the adapter's, when it is asked for."""
    engine = open_engine(database.owner_url, connections=1, name="acceptance")
    try:
        with engine.begin() as connection:
            return mint(connection, name=name, role=role, queues=queues, compat=compat)
    finally:
        engine.dispose()


def check_all_ledgers(database: Database) -> None:
    """Check the ledger of every run, as it was at one moment."""
    with psycopg.connect(database.owner_url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        check_ledgers(connection)

"""Where the bench plays: a durable Postgres of its own, the product on it, and pgbench beside."""

import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from orchestrator.dev import programs
from orchestrator.dev.binaries import find_binaries
from orchestrator.dev.child import Child
from orchestrator.dev.data_directory import DataDirectory
from orchestrator.dev.embedded import EmbeddedPostgres
from orchestrator.dev.ports import LOOPBACK, free_ports
from orchestrator.dev.provision import create_database, ensure_role, provision
from orchestrator.lifecycle import Role
from orchestrator.minting import mint
from orchestrator.store.engine import open_engine
from tests.bench import bare
from tests.bench.pgbench import Pgbench

SERVICE_ROLE = "dibs_service"
HANDLERS = "tests.bench.handlers:app"
END_SECONDS = 15.0
# What would steer our processes past what they are told.
_STEERING = ("DIBS_", "EXECUTOR_", "DATABASE_URL", "ORCHESTRATOR_URL", "OTEL_", "PG")


@dataclass(frozen=True)
class Stage:
    """
    One orchestrator on one database.

    Attributes:
        owner: The owner's session, each statement a transaction.
        service_url: The database for the login that the orchestrator has.
        tokens: One for each role, for all queues.
    """

    data: DataDirectory
    port: int
    owner: psycopg.Connection
    service_url: str
    pgbench: Pgbench
    tokens: dict[Role, str]

    @contextmanager
    def executors(self, count: int, *, queue: str, slots: int, **settings: str) -> Iterator[None]:
        """So many executor processes that serve this queue, ready to work."""
        token_file = self.data.keep("executor-token", self.tokens[Role.EXECUTOR])
        children = [
            programs.executor(
                self.data,
                f"bench-{number}",
                HANDLERS,
                orchestrator_url=f"http://{LOOPBACK}:{self.port}",
                token_file=token_file,
                port=port,
                settings={
                    "EXECUTOR_QUEUES": queue,
                    "EXECUTOR_SLOTS": str(slots),
                    # They end when nothing is left to do: no parked claim is waited for.
                    "EXECUTOR_STOP_TIMEOUT_S": "0",
                    "LOG_LEVEL": "warning",
                    **settings,
                },
            )
            for number, port in enumerate(free_ports(count))
        ]
        with _running(*children):
            yield


@contextmanager
def stage(workers: int, say: Callable[[str], None]) -> Iterator[Stage]:
    """
    A stage that is gone at the end, with all its data.

    Args:
        workers: Server processes of the orchestrator.
    """
    with (
        tempfile.TemporaryDirectory(prefix="dibs-bench-") as folder,
        DataDirectory(Path(folder)) as data,
        EmbeddedPostgres(data.path / "postgres", on_progress=say) as postgres,
    ):
        owner_url = create_database(postgres.owner_url, "dibs")
        service_url = ensure_role(owner_url, SERVICE_ROLE, secrets.token_hex(16))
        provision(owner_url, SERVICE_ROLE)
        (port,) = free_ports(1)
        say("starting the orchestrator")
        with (
            closing(psycopg.connect(owner_url, autocommit=True)) as owner,
            _running(_orchestrator(data, service_url, port, workers)),
        ):
            bare.create_table(owner, SERVICE_ROLE)
            programs_folder = find_binaries(copy_to=data.path / "postgres" / "binaries")
            yield Stage(
                data=data,
                port=port,
                owner=owner,
                service_url=service_url,
                pgbench=Pgbench(programs_folder / "pgbench", service_url),
                tokens=_tokens(owner_url),
            )


def _orchestrator(data: DataDirectory, service_url: str, port: int, workers: int) -> Child:
    kept = {name: it for name, it in os.environ.items() if not name.startswith(_STEERING)}
    command = [sys.executable, "-m", "orchestrator", "serve", "--host", LOOPBACK]
    return Child(
        "the orchestrator",
        [*command, "--port", str(port), "--workers", str(workers)],
        {
            **kept,
            "DATABASE_URL_FILE": str(data.keep("service-url", service_url)),
            "DIBS_SECRET_KEY_FILE": str(data.keep("secret-key", secrets.token_hex(32))),
        },
        ready_url=f"http://{LOOPBACK}:{port}/readyz",
        log_file=data.log_file("orchestrator"),
    )


def _tokens(owner_url: str) -> dict[Role, str]:
    engine = open_engine(owner_url, connections=1, name="bench-tokens")
    try:
        with engine.begin() as connection:
            return {role: mint(connection, name=f"bench-{role}", role=role) for role in Role}
    finally:
        engine.dispose()


@contextmanager
def _running(*children: Child) -> Iterator[None]:
    try:
        for child in children:
            child.start()
        for child in children:
            child.wait_until_ready()
        yield
    finally:
        for child in children:
            child.ask_to_end()
        for child in children:
            child.end(END_SECONDS)

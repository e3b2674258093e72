"""Which Postgres the tests use, and a database of its own for each test.

In this order, and never none: `TEST_DATABASE_URL`; a container when a Docker
engine answers and can give `postgres:18` within a minute; the embedded one.
`DIBS_TEST_DATABASE=15` asks for Debian's server of that version instead, and
`DIBS_TEST_DATABASE=pgbouncer` lets the service come through a PgBouncer.
"""

import gc
import os
import secrets
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import docker
import psycopg
import pytest
from docker.errors import DockerException, ImageNotFound
from psycopg import sql
from testcontainers.community.postgres import PostgresContainer

from orchestrator import schema
from orchestrator.dev.embedded import NOT_DURABLE, EmbeddedPostgres
from orchestrator.dev.provision import as_user, create_database, ensure_role, provision
from orchestrator.settings import database_url
from tests.debian_postgres import debian_postgres, is_installed
from tests.integration.pgbouncer import PROGRAM, find_pgbouncer, pgbouncer

GIVEN = "TEST_DATABASE_URL"
ASKED = "DIBS_TEST_DATABASE"
POOLED = "pgbouncer"
POOLED_CONNECTIONS = 40
IMAGE = "postgres:18"
IMAGE_SECONDS = 60
SERVICE_ROLE = "dibs_service"


@dataclass(frozen=True)
class Source:
    """
    A way to a Postgres.

    Attributes:
        kind: A key of `WAYS`, so that who chose can tell other processes.
        description: In a few words, and why it is no better one.
        version: Of a server of Debian's.
        pooled: Whether the service comes through a PgBouncer.
    """

    kind: str
    description: str
    version: str = ""
    pooled: bool = False

    @property
    def shared(self) -> bool:
        """Whether others use this server too."""
        return self.kind == "given"

    def run(self) -> AbstractContextManager[str]:
        """Entering it gives the owner's URL."""
        return _debian(self.version) if self.version else WAYS[self.kind]()


@dataclass(frozen=True)
class Template:
    """
    A database at head that nobody is connected to, and the login that serves its copies.

    Attributes:
        pooler: Host and port that the service comes through; None: it connects itself.
    """

    owner_url: str
    name: str
    service_role: str
    service_password: str
    pooler: str | None = None

    def service_url(self, owner_url: str) -> str:
        """The service's way to the database that this owner's URL leads to."""
        url = as_user(owner_url, self.service_role, self.service_password)
        if self.pooler is None:
            return url
        parts = urlsplit(url)
        login = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{login}@{self.pooler}").geturl()


@dataclass(frozen=True)
class Database:
    """One test's own database: the schema at head, nothing in it, the service's grants."""

    owner_url: str
    service_url: str
    service_role: str


def choose_source() -> Source:
    """
    What is asked for, else the first of the three that this machine can give.

    Raises:
        ValueError: What is asked for cannot be had here.
    """
    asked = os.environ.get(ASKED, "")
    if asked in ("", POOLED):
        source = _first_source()
        if not asked:
            return source
        if find_pgbouncer() is None:
            raise ValueError(f"{ASKED}={asked}: there is none; install {PROGRAM}")
        return replace(source, description=f"{source.description}, by PgBouncer", pooled=True)
    if not is_installed(asked):
        raise ValueError(f"{ASKED}={asked}: no such server; install postgresql-{asked}")
    return Source("debian", f"Debian's PostgreSQL {asked}", version=asked)


def _first_source() -> Source:
    if os.environ.get(GIVEN):
        return Source("given", GIVEN)
    lacking = _why_no_container()
    if lacking is None:
        return Source("container", f"a container of {IMAGE}")
    return Source("embedded", f"embedded ({lacking})")


def needs_a_session(what: str) -> None:
    """Skip a test behind a PgBouncer: what it is about no pooler in transaction mode can give."""
    if os.environ.get(ASKED) == POOLED:
        pytest.skip(f"no pooler in transaction mode gives {what}")


@contextmanager
def template_on(owner_url: str, *, shared: bool) -> Iterator[Template]:
    """
    A migrated database to copy, made once for the whole session.

    Args:
        shared: Others use this server: its roles are not ours to change, and
            what we made there goes away at the end.
    """
    role = f"dibs_test_{secrets.token_hex(4)}" if shared else SERVICE_ROLE
    password = secrets.token_hex(8)
    name = f"dibs_template_{secrets.token_hex(4)}"
    template_url = create_database(owner_url, name)
    ensure_role(owner_url, role, password)
    provision(template_url, role)
    try:
        yield Template(owner_url, name, role, password)
    finally:
        if shared:
            drop_database(owner_url, name)
            with closing(psycopg.connect(owner_url, autocommit=True)) as connection:
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@contextmanager
def pooled(template: Template) -> Iterator[Template]:
    """The same, but that the service comes through a PgBouncer in transaction mode."""
    with (
        tempfile.TemporaryDirectory(prefix="dibs-test-") as directory,
        pgbouncer(
            template.service_url(template.owner_url),
            Path(directory),
            server_connections=POOLED_CONNECTIONS,
        ) as through,
    ):
        yield replace(template, pooler=urlsplit(through).netloc.rpartition("@")[2])


@contextmanager
def fresh_database(template: Template) -> Iterator[Database]:
    """A copy of the template, dropped at the end."""
    name = f"dibs_test_{secrets.token_hex(6)}"
    owner_url = create_database(template.owner_url, name, template=template.name)
    # Rights on the database and settings of a role in it are not copied.
    schema.grant(owner_url, template.service_role)
    try:
        yield Database(
            owner_url=owner_url,
            service_url=template.service_url(owner_url),
            service_role=template.service_role,
        )
    finally:
        drop_database(template.owner_url, name)


def drop_database(owner_url: str, name: str) -> None:
    """Drop a database, whoever is still connected."""
    with closing(psycopg.connect(owner_url, autocommit=True)) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


@contextmanager
def _given() -> Iterator[str]:
    yield database_url(os.environ[GIVEN])


@contextmanager
def _container() -> Iterator[str]:
    options = [word for item in NOT_DURABLE.items() for word in ("-c", "=".join(item))]
    container = PostgresContainer(
        IMAGE, username="dibs_owner", password="owner", dbname="postgres", driver=None
    ).with_command(["postgres", "-c", "max_connections=200", *options])
    with container as started:
        yield started.get_connection_url()


@contextmanager
def _embedded() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="dibs-test-") as directory,
        EmbeddedPostgres(Path(directory), durable=False) as postgres,
    ):
        yield postgres.owner_url


@contextmanager
def _debian(version: str) -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="dibs-test-") as directory,
        debian_postgres(version, Path(directory)) as owner_url,
    ):
        yield owner_url


WAYS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "given": _given,
    "container": _container,
    "embedded": _embedded,
}


def _why_no_container() -> str | None:
    """None when a container can be had; else what is in the way, in a few words."""
    with warnings.catch_warnings():
        # Where no engine answers, its client leaves the socket to the collector.
        warnings.simplefilter("ignore", ResourceWarning)
        lacking = _ask_engine()
        gc.collect()
    return lacking


def _ask_engine() -> str | None:
    try:
        with closing(docker.from_env(timeout=5)) as engine:
            engine.ping()
            try:
                engine.images.get(IMAGE)
            except ImageNotFound:
                return _pull(engine)
    except DockerException:
        return "no Docker engine answers"
    return None


def _pull(engine: docker.DockerClient) -> str | None:
    failures: list[str] = []

    def pull() -> None:
        try:
            engine.images.pull(IMAGE)
        except DockerException as error:
            failures.append(f"{type(error).__name__}")

    # Left behind when it takes too long: the engine goes on by itself.
    pulling = threading.Thread(target=pull, name="pull", daemon=True)
    pulling.start()
    pulling.join(IMAGE_SECONDS)
    if pulling.is_alive() or failures:
        return f"the Docker engine cannot give {IMAGE} within {IMAGE_SECONDS} s"
    return None

"""Where it is measured: one durable Postgres with a small database and a full one."""

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from orchestrator.dev.embedded import EmbeddedPostgres
from orchestrator.dev.provision import create_database, ensure_role, provision
from tests.bench.flat.history import past, write
from tests.bench.flat.sizes import SMALL_PENDING, Sizes
from tests.bench.flat.storage import storage

SERVICE_ROLE = "dibs_service"
# What a machine for so large a table would have; all else is Postgres's default.
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB"}


@dataclass(frozen=True)
class Place:
    """A database: for its owner, and for the service."""

    owner_url: str
    service_url: str


@dataclass(frozen=True)
class Ground:
    """
    The two databases.

    Attributes:
        load_seconds: What it took to fill the full one.
        storage: How large its tables and indexes are then.
    """

    small: Place
    full: Place
    load_seconds: float
    storage: list[str]


@contextmanager
def ground(sizes: Sizes, say: Callable[[str], None]) -> Iterator[Ground]:
    """Both databases filled; they are gone at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="dibs-flat-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres", settings=SETTINGS, on_progress=say) as postgres,
    ):
        password = secrets.token_hex(16)
        small, full = (_place(postgres.owner_url, name, password) for name in ("small", "full"))
        write(small.owner_url, past(over=0, old=0, pending=SMALL_PENDING, scheduled=0), say)
        say(
            f"filling: {sizes.pending:,} pending, {sizes.scheduled:,} scheduled,"
            f" {sizes.over + sizes.old:,} over, {sizes.old:,} of them to be pruned"
        )
        began = time.monotonic()
        write(
            full.owner_url,
            past(
                over=sizes.over,
                old=sizes.old,
                pending=sizes.pending,
                scheduled=sizes.scheduled,
            ),
            say,
        )
        load_seconds = time.monotonic() - began
        with closing(psycopg.connect(full.owner_url, autocommit=True)) as owner:
            lines = storage(owner)
        for line in (f"loaded in {load_seconds:,.0f} s", *lines):
            say(f"  {line}")
        yield Ground(small, full, load_seconds, lines)


def _place(owner_url: str, name: str, password: str) -> Place:
    own = create_database(owner_url, name)
    service_url = ensure_role(own, SERVICE_ROLE, password)
    provision(own, SERVICE_ROLE)
    return Place(own, service_url)

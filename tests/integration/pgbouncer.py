"""A PgBouncer of the test's own, in transaction mode, before a test's database."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from orchestrator.dev.cluster import hand_over
from orchestrator.dev.leash import leash
from orchestrator.dev.ports import LOOPBACK
from orchestrator.dev.unprivileged import choose_identity
from tests.acceptance.waiting import eventually
from tests.ports import OwnPort

PROGRAM = "pgbouncer"
CONFIGURATION = """
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = {loopback}
listen_port = {own_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
"""
SERVER_CONNECTIONS = 3
"""Fewer than an orchestrator has: no client keeps one from one transaction to the next."""


def find_pgbouncer() -> str | None:
    """Where it is; also Debian's, which is not on an ordinary user's PATH."""
    return shutil.which(PROGRAM) or shutil.which(PROGRAM, path="/usr/sbin")


@contextmanager
def pgbouncer(
    url: str, directory: Path, *, server_connections: int = SERVER_CONNECTIONS
) -> Iterator[str]:
    """
    The way to the same database through a PgBouncer, for this login.

    Args:
        server_connections: How many it keeps of each database.
    """
    program = find_pgbouncer()
    if program is None:
        pytest.skip(f"install {PROGRAM}")
    to = urlsplit(url)
    own_port = OwnPort()
    users = directory / "users"
    users.write_text(f'"{unquote(to.username or "")}" "{unquote(to.password or "")}"\n')
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(
            host=to.hostname,
            port=to.port,
            loopback=LOOPBACK,
            own_port=own_port.number,
            users=users,
            connections=server_connections,
        )
    )
    identity = choose_identity(directory)
    hand_over(directory, identity)
    through = to._replace(
        netloc=f"{to.netloc.rpartition('@')[0]}@{LOOPBACK}:{own_port.number}"
    ).geturl()
    log_file = directory / "pgbouncer.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*identity.prefix, program, str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=leash(signal.SIGKILL),
        )
    try:
        eventually(lambda: _answers(process, through, log_file), what="PgBouncer answers")
        yield through
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(process: subprocess.Popen[bytes], url: str, log_file: Path) -> bool:
    assert process.poll() is None, log_file.read_text(errors="replace")
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True

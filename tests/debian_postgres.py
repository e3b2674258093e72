"""A PostgreSQL server of another version than the embedded one: of Debian's packages."""

from __future__ import annotations

import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.dev.cluster import OWNER, Cluster, hand_over, server_environment
from orchestrator.dev.embedded import NOT_DURABLE
from orchestrator.dev.ports import LOOPBACK
from orchestrator.dev.server import launch
from orchestrator.dev.unprivileged import choose_identity
from tests.ports import OwnPort

STOP_SECONDS = 30


def programs_of(version: str) -> Path:
    """Where the packages put the programs of a major version."""
    return Path("/usr/lib/postgresql") / version / "bin"


def is_installed(version: str) -> bool:
    return (programs_of(version) / "postgres").is_file()


@contextmanager
def debian_postgres(version: str, directory: Path) -> Iterator[str]:
    """A server that is thrown away at the end; its owner's URL."""
    cluster = Cluster(directory)
    identity = choose_identity(directory)
    programs = programs_of(version)
    cluster.password_file.write_text(secrets.token_hex(8), encoding="ascii")
    hand_over(directory, identity)
    subprocess.run(
        [
            *identity.prefix,
            str(programs / "initdb"),
            f"--username={OWNER}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            f"--pwfile={cluster.password_file}",
            f"--pgdata={cluster.data}",
        ],
        check=True,
        capture_output=True,
        env=server_environment(),
    )
    port = OwnPort()
    server = launch(
        [*identity.prefix, str(programs / "postgres")], cluster, port.number, NOT_DURABLE
    )
    try:
        yield f"postgresql://{OWNER}:{cluster.password()}@{LOOPBACK}:{port.number}/postgres"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(STOP_SECONDS)

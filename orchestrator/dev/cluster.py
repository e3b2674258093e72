"""A cluster: the folder that one PostgreSQL server keeps its databases in."""

import os
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from orchestrator.dev.leash import leash
from orchestrator.dev.unprivileged import Identity

OWNER = "dibs_owner"
INITDB_OPTIONS = (
    f"--username={OWNER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    # The same order everywhere, whatever locales the machine has.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)


class ClusterUnusableError(Exception):
    """The cluster cannot be made, or the programs at hand cannot use it."""


@dataclass(frozen=True)
class Cluster:
    """Where things stand under the directory of an embedded Postgres."""

    directory: Path

    @property
    def data(self) -> Path:
        return self.directory / "cluster"

    @property
    def password_file(self) -> Path:
        return self.directory / "password"

    @property
    def log_file(self) -> Path:
        return self.directory / "postgres.log"

    def exists(self) -> bool:
        return (self.data / "PG_VERSION").is_file()

    def password(self) -> str:
        """The superuser's password."""
        return self.password_file.read_text(encoding="ascii").strip()


def create_cluster(cluster: Cluster, binaries: Path, identity: Identity, *, durable: bool) -> None:
    """
    Make the cluster, with a password of its own; half a one is never left.

    Raises:
        ClusterUnusableError: initdb failed, and what it said last.
    """
    fresh = cluster.directory / "cluster.new"
    shutil.rmtree(fresh, ignore_errors=True)
    _write_password(cluster.password_file)
    hand_over(cluster.directory, identity)
    made = subprocess.run(
        [
            *identity.prefix,
            str(binaries / "initdb"),
            *INITDB_OPTIONS,
            f"--pwfile={cluster.password_file}",
            f"--pgdata={fresh}",
            *(() if durable else ("--no-sync",)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=server_environment(),
        start_new_session=True,
        preexec_fn=leash(signal.SIGKILL),
    )
    if made.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise ClusterUnusableError(why_it_failed(made.stdout + made.stderr))
    fresh.rename(cluster.data)


def check_version(cluster: Cluster, binaries: Path) -> None:
    """
    See that these binaries can serve this cluster.

    Raises:
        ClusterUnusableError: Another major version of PostgreSQL made it.
    """
    made_by = (cluster.data / "PG_VERSION").read_text(encoding="ascii").strip()
    printed = subprocess.run(
        [str(binaries / "postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    present = printed.split()[2].split(".")[0]
    if made_by != present:
        raise ClusterUnusableError(
            f"{cluster.data} was made by PostgreSQL {made_by}, this one is {present}:"
            " move it away to start afresh"
        )


def hand_over(directory: Path, identity: Identity) -> None:
    """Give the files to whom the server runs as; only root ever needs to."""
    if directory.stat().st_uid == identity.owner_id:
        return
    for path in (directory, *directory.rglob("*")):
        os.chown(path, identity.owner_id, identity.owner_id, follow_symlinks=False)


def server_environment() -> dict[str, str]:
    """This process's environment without what would steer the server (PGDATA, PGPORT, …)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}


def why_it_failed(output: str) -> str:
    """The line of a PostgreSQL program's output that says why it gave up."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("No space left on device" in line for line in lines):
        return "there is no space left on the device"
    telling = [line for line in lines if "FATAL:" in line or "PANIC:" in line or "error:" in line]
    return (telling or lines or ["it said nothing"])[-1]


def _write_password(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(16) + "\n", encoding="ascii")

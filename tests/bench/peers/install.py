"""The peers, each installed in an environment of its own that goes with its folder."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.failure import BenchError
from tests.bench.peers.peer import Peer, Setting

HERE = Path(__file__).parent
INSTALL_SECONDS = 300.0

PGQUEUER = ("pgqueuer==1.6.0", "asyncpg==0.32.0", "uvloop==0.23.0")
GRAPHILE_WORKER = "graphile-worker@0.17.3"


def pgqueuer(folder: Path) -> Peer:
    """
    PgQueuer by pip, in a virtual environment.

    Raises:
        BenchError: It cannot be installed.
    """
    folder.mkdir()
    _install("PgQueuer", [sys.executable, "-m", "venv", "environment"], folder)
    python = folder / "environment" / "bin" / "python"
    _install("PgQueuer", [str(python), "-m", "pip", "install", "--quiet", *PGQUEUER], folder)
    return Peer(
        name="PgQueuer",
        versions=", ".join(PGQUEUER),
        options="async handler, autovacuum tuned by its own command, logged tables, drain mode",
        settings=[
            Setting((1, batch_size), f"batch_size {batch_size}{note}")
            for batch_size, note in ((10, " (its default)"), (100, ""), (500, ""), (1_000, ""))
        ],
        folder=folder,
        command=[str(python), str(HERE / "pgqueuer_program.py")],
        table=("pgqueuer",),
    )


def graphile_worker(folder: Path) -> Peer:
    """
    graphile-worker by npm, in a project of its own.

    Raises:
        BenchError: It cannot be installed.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise BenchError("graphile-worker needs node and npm, which are not on the PATH.")
    folder.mkdir()
    (folder / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    quiet = ("--no-audit", "--no-fund", "--loglevel=error")
    _install("graphile-worker", [npm, "install", *quiet, GRAPHILE_WORKER], folder)
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return Peer(
        name="graphile-worker",
        versions=f"{GRAPHILE_WORKER}, node {version.strip()}",
        options="local queue with a refetch delay of 10 ms, completions in batches without a delay",
        settings=[
            Setting((jobs, size), f"{jobs} jobs at once, local queue of {size}{note}")
            for jobs, size, note in (
                (24, 500, " (its own performance test)"),
                (24, 1_000, ""),
                (50, 1_000, ""),
                (100, 2_000, ""),
            )
        ],
        folder=folder,
        command=[node, str(HERE / "graphile_worker_program.mjs")],
        table=("graphile_worker", "_private_jobs"),
    )


def _install(name: str, command: Sequence[str], folder: Path) -> None:
    try:
        ended = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"{name} was not installed within {INSTALL_SECONDS:.0f} s.") from None
    if ended.returncode:
        lines = [line.strip() for line in ended.stderr.splitlines() if "rror" in line]
        raise BenchError(f"{name} cannot be installed: {(lines or ['it said nothing'])[-1]}")

"""What the figures were taken on; they mean nothing without it."""

import os
import platform
import subprocess
from pathlib import Path

import psycopg

MEMORY = Path("/proc/meminfo")
PROCESSORS = Path("/proc/cpuinfo")


def machine(owner: psycopg.Connection) -> dict[str, str | int | None]:
    """The machine and the versions."""
    row = owner.execute("SHOW server_version").fetchone()
    return {**hardware(), "postgres": row[0] if row else None}


def hardware() -> dict[str, str | int | None]:
    """The machine, and what its programs run on."""
    return {
        "cpu": _line(PROCESSORS, "model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory": _line(MEMORY, "MemTotal"),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def commit() -> str | None:
    """The commit that is measured, `+` behind it when files differ; None outside a clone."""
    described = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None


def _line(path: Path, name: str) -> str | None:
    """The value of the first `name: value` line."""
    if not path.exists():
        return None
    for line in path.read_text(encoding="utf-8").splitlines():
        key, found, value = line.partition(":")
        if found and key.strip() == name:
            return " ".join(value.split())
    return None

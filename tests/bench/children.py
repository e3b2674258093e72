"""The processes of the product that the bench starts, and how they run."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.dev import programs
from orchestrator.dev.child import Child
from orchestrator.dev.data_directory import DataDirectory
from orchestrator.dev.ports import LOOPBACK, free_ports

HANDLERS = "tests.bench.handlers:app"
END_SECONDS = 15.0
# What would steer our processes past what they are told.
_STEERING = ("DIBS_", "EXECUTOR_", "DATABASE_URL", "ORCHESTRATOR_URL", "OTEL_", "PG")


def orchestrator(
    data: DataDirectory, name: str, *, service_url: str, port: int, workers: int, **settings: str
) -> Child:
    """
    An orchestrator of so many processes.

    Args:
        settings: Further environment variables of its.
    """
    kept = {name: it for name, it in os.environ.items() if not name.startswith(_STEERING)}
    command = [sys.executable, "-m", "orchestrator", "serve", "--host", LOOPBACK]
    return Child(
        name,
        [*command, "--port", str(port), "--workers", str(workers)],
        {
            **kept,
            "DATABASE_URL_FILE": str(data.keep(f"{name}-url", service_url)),
            "DIBS_SECRET_KEY_FILE": str(data.keep(f"{name}-key", secrets.token_hex(32))),
            **settings,
        },
        ready_url=f"http://{LOOPBACK}:{port}/readyz",
        log_file=data.log_file(name),
    )


def executors(
    data: DataDirectory,
    count: int,
    *,
    orchestrator_port: int,
    token: str,
    queue: str,
    slots: int,
    **settings: str,
) -> list[Child]:
    """So many executors that serve this queue."""
    token_file = data.keep("executor-token", token)
    return [
        programs.executor(
            data,
            f"bench-{number}",
            HANDLERS,
            orchestrator_url=f"http://{LOOPBACK}:{orchestrator_port}",
            token_file=token_file,
            port=port,
            settings={
                "EXECUTOR_QUEUES": queue,
                "EXECUTOR_SLOTS": str(slots),
                # They end when nothing is left to do: no parked claim is waited for.
                "EXECUTOR_STOP_TIMEOUT_S": "0",
                "LOG_LEVEL": "warning",
                **settings,
            },
        )
        for number, port in enumerate(free_ports(count))
    ]


@contextmanager
def running(*children: Child) -> Iterator[list[int]]:
    """Start them, wait until all are ready, and end them; gives their process ids."""
    try:
        for child in children:
            child.start()
        for child in children:
            child.wait_until_ready()
        yield [child.pid for child in children if child.pid is not None]
    finally:
        for child in children:
            child.ask_to_end()
        for child in children:
            child.end(END_SECONDS)

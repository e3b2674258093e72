"""The orchestrator and the executor as children of one machine's stack."""

import os
import sys
from pathlib import Path

from orchestrator.dev.child import Child
from orchestrator.dev.data_directory import DataDirectory
from orchestrator.dev.ports import LOOPBACK

EXECUTOR_STOP_TIMEOUT_SECONDS = 5


def orchestrator(data: DataDirectory, *, service_url: str, secret_key: str, port: int) -> Child:
    """An orchestrator on this port; its secrets reach it in files."""
    return Child(
        "the orchestrator",
        [sys.executable, "-m", "orchestrator", "serve", "--host", LOOPBACK, "--port", str(port)],
        {
            **_surroundings(),
            "DATABASE_URL_FILE": str(data.keep("service-url", service_url)),
            "DIBS_SECRET_KEY_FILE": str(data.keep("secret-key", secret_key)),
        },
        ready_url=f"http://{LOOPBACK}:{port}/readyz",
        log_file=data.log_file("orchestrator"),
    )


def executor(
    data: DataDirectory,
    name: str,
    app: str,
    *,
    orchestrator_url: str,
    token_file: Path,
    port: int,
    settings: dict[str, str],
) -> Child:
    """
    An executor whose HTTP face is on this port.

    Args:
        name: Its instance.
        app: Where its handlers are (`package.module:app`).
        settings: Further environment variables of its.
    """
    return Child(
        name,
        [sys.executable, "-m", "executor", "run", app],
        {
            **_surroundings(),
            "ORCHESTRATOR_URL": orchestrator_url,
            "EXECUTOR_TOKEN_FILE": str(token_file),
            "EXECUTOR_NAME": name,
            "EXECUTOR_HTTP_HOST": LOOPBACK,
            "EXECUTOR_HTTP_PORT": str(port),
            "EXECUTOR_STOP_TIMEOUT_S": str(EXECUTOR_STOP_TIMEOUT_SECONDS),
            **settings,
        },
        ready_url=f"http://{LOOPBACK}:{port}/health",
        log_file=data.log_file(name),
    )


def _surroundings() -> dict[str, str]:
    """This process's environment without what would steer a child past what it is told."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DIBS_", "EXECUTOR_", "DATABASE_URL"))
    }
    # A proxy of the user's is not for what stays on this machine.
    return {**kept, "NO_PROXY": LOOPBACK, "no_proxy": LOOPBACK}

"""All routes of the adapter, put into an application."""

from __future__ import annotations

from flask import Flask

# Each has its routes in the blueprint once it is imported.
from orchestrator.api.compat import (  # noqa: F401
    activity_logs,
    processes,
    reports,
    runs,
    schemas,
)
from orchestrator.api.compat.blueprint import compat


def register_compat(app: Flask) -> None:
    """Serve the adapter's executors."""
    app.register_blueprint(compat)

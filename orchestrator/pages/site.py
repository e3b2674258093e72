"""All pages, put into an application."""

from __future__ import annotations

from flask import Flask

# Each has its routes in the blueprint once it is imported.
from orchestrator.pages import (  # noqa: F401
    access,
    assets,
    audit,
    bulk,
    contention,
    executors,
    overview,
    queues,
    refused,
    run,
    run_acts,
    runs,
    schedules,
    sign_in,
    workflows,
)
from orchestrator.pages.blueprint import pages, require_page_declarations
from orchestrator.pages.home import front_door
from orchestrator.pages.template import compile_templates


def register_pages(app: Flask) -> None:
    """
    Serve the pages.

    Raises:
        RuntimeError: A route below theirs is not declared as a page, form or asset.
    """
    app.register_blueprint(front_door)
    app.register_blueprint(pages)
    require_page_declarations(app)
    compile_templates()

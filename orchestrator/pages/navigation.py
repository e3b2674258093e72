"""The pages that every page leads to, in the order in which they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import current_app

from orchestrator.pages.blueprint import pages


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One way on.

    Attributes:
        view: Whose page it is.
        below: The views of pages that belong to it.
    """

    view: str
    name: str
    below: tuple[str, ...] = ()

    def leads_here(self, view: str) -> bool:
        """Whether this is the page that is shown, or what it belongs to."""
        return view == self.view or view in self.below


_ENTRIES: Final = (
    Entry("show_overview", "Overview"),
    Entry("show_runs", "Runs", below=("show_run",)),
    Entry("show_executors", "Executors"),
    Entry("show_queues", "Queues"),
    Entry("show_workflows", "Workflows", below=("show_workflow",)),
    Entry("show_schedules", "Schedules"),
    Entry("show_contention", "Contention"),
    Entry("show_audit", "Audit"),
    Entry("show_access", "Access"),
)


def navigation() -> tuple[Entry, ...]:
    """All entries."""
    known = current_app.view_functions
    return tuple(entry for entry in _ENTRIES if f"{pages.name}.{entry.view}" in known)

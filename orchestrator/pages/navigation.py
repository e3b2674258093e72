"""The pages that every page leads to, in the order in which they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


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


NAVIGATION: Final = (
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

"""Runs: which there are, by state and by what is sought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import Response, request

from orchestrator.api.access import OPERATORS, WATCHERS, caller
from orchestrator.api.context import services
from orchestrator.desk.run_search import Found, search
from orchestrator.lifecycle import RunState
from orchestrator.pages.blueprint import page, pages
from orchestrator.pages.run_query import read_query, run_id_among
from orchestrator.pages.template import address_of, go_to, screen
from orchestrator.store.census import NONE, Count

RUNS_SHOWN: Final = 50

_TABS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("All", ()),
    ("Scheduled", (RunState.SCHEDULED,)),
    ("Pending", (RunState.PENDING,)),
    ("Running", (RunState.LOADING, RunState.STARTED)),
    ("Waiting", (RunState.WAITING,)),
    ("Finished", (RunState.FINISHED,)),
    ("Failed", (RunState.FAILED,)),
    ("Aborted", (RunState.ABORTED,)),
)


@dataclass(frozen=True, slots=True)
class Tab:
    """
    The runs of some states.

    Attributes:
        state: As the address has it.
        count: How many there are of all queues that may be seen; None while more is sought
            than states.
    """

    name: str
    state: str
    is_shown: bool
    count: Count | None


@pages.get("/runs")
@page(WATCHERS)
def show_runs() -> Response:
    """The newest runs of the viewer's queues; the address says which. An id leads to its run."""
    query = read_query(request.args)
    if query.run_id is not None:
        return go_to(address_of("show_run", run_id=query.run_id))
    state = ",".join(query.states)
    if query.text != request.args.get("search", "").strip() and not query.mistake:
        return go_to(address_of("show_runs", search=query.text or None, state=state or None))
    before = request.args.get("before")
    if query.mistake is None:
        found = search(
            services().database,
            query.wanted,
            caller().queues,
            before=None if before is None else run_id_among(before),
            limit=RUNS_SHOWN,
        )
    else:
        found = Found([], None)
    return screen(
        "runs.html",
        query=query,
        state=state,
        before=before,
        found=found,
        tabs=_tabs(query.states, are_counted=query.is_by_state_alone or not query.narrows),
        may_act=caller().role in OPERATORS,
    )


def _tabs(shown: tuple[str, ...], *, are_counted: bool) -> list[Tab]:
    numbers = services().census.now().by_state(caller().queues) if are_counted else None
    tabs = []
    for name, states in _TABS:
        count = None
        if numbers is not None and states:
            count = sum((numbers[state] for state in states), start=NONE)
        tabs.append(Tab(name, ",".join(states), set(states) == set(shown), count))
    return tabs

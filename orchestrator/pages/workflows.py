"""Workflows: what is defined, how long its runs take, and how one goes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from flask import Response
from sqlalchemy import Connection

from orchestrator.api.access import WATCHERS, caller
from orchestrator.api.context import services
from orchestrator.api.parameters import name_of
from orchestrator.api.wire.queries import WorkflowQuery
from orchestrator.errors import NotFound
from orchestrator.lifecycle import covers
from orchestrator.pages.asked import asked_for
from orchestrator.pages.blueprint import page, pages
from orchestrator.pages.duration import duration_text
from orchestrator.pages.run_durations import Durations, durations_by_workflow
from orchestrator.pages.step_drawing import BOX_HEIGHT, BOX_WIDTH, drawn
from orchestrator.pages.template import screen
from orchestrator.store import workflows as store
from orchestrator.store.records import text_of
from orchestrator.store.schedules import Schedule, list_schedules
from orchestrator.store.transaction import transact

WORKFLOWS_SHOWN: Final = 500
VERSIONS_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Listed:
    """
    A workflow of the list.

    Attributes:
        defined: None when its runs have no definition: one step of the workflow's name.
        durations: None when none of its runs came to an end lately.
        next_at: When a schedule runs it next.
        unserved: The types of its steps that no executor serves now.
    """

    name: str
    defined: store.Summary | None
    durations: Durations | None
    next_at: datetime | None
    unserved: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """One version of a workflow at one look."""

    definition: store.Definition
    versions: list[int]
    served: set[str]
    schedules: list[Schedule]


@pages.get("/workflows")
@page(WATCHERS)
def show_workflows() -> Response:
    """Every workflow; of its runs and schedules those of the viewer's queues."""
    ours = caller().queues
    ended = durations_by_workflow(services().outcomes.now(), ours)

    def look(connection: Connection) -> tuple[list[store.Summary], set[str], list[Schedule]]:
        return (
            store.summaries(connection, limit=WORKFLOWS_SHOWN + 1),
            store.served_step_types(connection),
            _scheduled(connection, ours),
        )

    found, served, schedules = transact(services().database.work, look)
    defined = {each.name: each for each in found[:WORKFLOWS_SHOWN]}
    return screen(
        "workflows.html",
        workflows=[
            Listed(
                name,
                defined.get(name),
                ended.get(name),
                _next_at(schedules, name),
                _unserved(defined.get(name), served),
            )
            for name in sorted({*defined, *ended})
        ],
        is_cut=len(found) > WORKFLOWS_SHOWN,
        workflows_shown=WORKFLOWS_SHOWN,
        duration_text=duration_text,
    )


@pages.get("/workflows/<name>")
@page(WATCHERS)
def show_workflow(name: str) -> Response:
    """One workflow: its steps, in the current version or the one that is asked for."""
    known, ours, asked = name_of(name), caller().queues, asked_for(WorkflowQuery)
    ended = durations_by_workflow(services().outcomes.now(), ours)

    def look(connection: Connection) -> Seen:
        found = store.find(connection, known, version=asked.version)
        if found is None:
            raise NotFound(f"There is no such version of a workflow {known}.")
        return Seen(
            found,
            store.versions(connection, known)[::-1],
            store.served_step_types(connection),
            _scheduled(connection, ours),
        )

    seen = transact(services().database.work, look)
    steps: list[dict[str, Any]] = orjson.loads(text_of(seen.definition.definition))["steps"]
    return screen(
        "workflow.html",
        workflow=seen.definition,
        versions=seen.versions[:VERSIONS_SHOWN],
        is_cut=len(seen.versions) > VERSIONS_SHOWN,
        steps=steps,
        unserved={step["type"] for step in steps} - seen.served,
        durations=ended.get(known),
        schedules=[each for each in seen.schedules if each.workflow == known],
        drawn=drawn,
        box_width=BOX_WIDTH,
        box_height=BOX_HEIGHT,
        duration_text=duration_text,
    )


def _scheduled(connection: Connection, ours: tuple[str, ...]) -> list[Schedule]:
    return [each for each in list_schedules(connection) if covers(ours, each.queue)]


def _next_at(schedules: Iterable[Schedule], workflow: str) -> datetime | None:
    times = [
        each.next_at
        for each in schedules
        if each.workflow == workflow and each.next_at and not each.paused
    ]
    return min(times, default=None)


def _unserved(defined: store.Summary | None, served: set[str]) -> tuple[str, ...]:
    return () if defined is None else tuple(t for t in defined.step_types if t not in served)

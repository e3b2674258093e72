"""Schedules: when what is run by the clock, and what ran last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from flask import Response, request
from sqlalchemy import Connection

from orchestrator.api.access import OPERATORS, WATCHERS, caller
from orchestrator.api.asked_act import asked_act
from orchestrator.api.context import services
from orchestrator.api.parameters import name_of
from orchestrator.desk import schedule_acts
from orchestrator.firing import BadSchedule, in_words, next_firing
from orchestrator.lifecycle import ActKind, covers
from orchestrator.pages.asked import key_of
from orchestrator.pages.blueprint import form, page, pages
from orchestrator.pages.form import Form
from orchestrator.pages.template import address_of, go_to, key_of_form, screen
from orchestrator.store.schedules import Schedule, list_schedules
from orchestrator.store.transaction import transact

SCHEDULES_SHOWN: Final = 500
FIRINGS_SHOWN: Final = 3


# Asked again with every look at the page, and the answer is always the same.
_next_firing = lru_cache(maxsize=4 * SCHEDULES_SHOWN)(next_firing)
_in_words = lru_cache(maxsize=SCHEDULES_SHOWN)(in_words)


@dataclass(frozen=True, slots=True)
class Planned:
    """
    A schedule, what its expression says, and when it fires next.

    Attributes:
        due: A few times; a paused one would fire then.
    """

    schedule: Schedule
    words: str
    due: tuple[datetime, ...]


@pages.get("/schedules")
@page(WATCHERS)
def show_schedules() -> Response:
    """Every schedule that creates runs in one of the viewer's queues."""
    ours = caller().queues

    def look(connection: Connection) -> list[Schedule]:
        return [each for each in list_schedules(connection) if covers(ours, each.queue)]

    found, skipped = transact(services().database.work, look), request.args.get("skipped")
    return screen(
        "schedules.html",
        planned=[
            Planned(each, _in_words(each.cron), tuple(due_times(each)))
            for each in found[:SCHEDULES_SHOWN]
        ],
        is_cut=len(found) > SCHEDULES_SHOWN,
        schedules_shown=SCHEDULES_SHOWN,
        skipped=next((each.name for each in found if each.name == skipped), None),
        may_act=caller().role in OPERATORS,
        key_of_run=lambda each: key_of_form("run-now", f"{each.name} {each.last_run_id}"),
    )


@pages.post("/schedules/<name>/run-now")
@form(OPERATORS)
def run_schedule(sent: Form, name: str) -> Response:
    """Create a run beside the times, as the API does. Sent twice, it is one run."""
    known = name_of(name)
    run_id = schedule_acts.run_now(
        services().database,
        known,
        key=str(key_of(sent)),
        line=asked_act(ActKind.RUN_SCHEDULE, known),
        queues=caller().queues,
    )
    if run_id is None:
        return go_to(address_of("show_schedules", skipped=known, _anchor=f"schedule-{known}"))
    return go_to(address_of("show_run", run_id=run_id))


@pages.post("/schedules/<name>/pause")
@form(OPERATORS)
def pause_schedule(_sent: Form, name: str) -> Response:
    """Let a schedule fire no more until it is resumed."""
    return _set_paused(name, paused=True)


@pages.post("/schedules/<name>/resume")
@form(OPERATORS)
def resume_schedule(_sent: Form, name: str) -> Response:
    """Let a paused schedule fire again, first at its next due time."""
    return _set_paused(name, paused=False)


def _set_paused(name: str, *, paused: bool) -> Response:
    known = name_of(name)
    schedule_acts.set_paused(
        services().database,
        known,
        paused=paused,
        line=asked_act(ActKind.PUT_SCHEDULE, known),
        queues=caller().queues,
    )
    return go_to(address_of("show_schedules", _anchor=f"schedule-{known}"))


def due_times(schedule: Schedule) -> Iterator[datetime]:
    """When a schedule fires next, a few times; nothing when it never does."""
    at = schedule.next_at
    for _ in range(FIRINGS_SHOWN):
        if at is None:
            return
        yield at
        try:
            at = _next_firing(schedule.cron, schedule.time_zone, after=at)
        except BadSchedule:
            # Put on a machine that knows the zone; this one does not.
            return

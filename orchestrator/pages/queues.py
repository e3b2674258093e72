"""Queues: how deep each is, what it allows, who serves it and how many should."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from flask import Response

from orchestrator.api.access import OPERATORS, WATCHERS, caller
from orchestrator.api.asked_act import asked_act
from orchestrator.api.context import services
from orchestrator.api.parameters import name_of
from orchestrator.api.queue_access import require_queues
from orchestrator.api.wire.members import Name
from orchestrator.api.wire.queues import QueueLimits
from orchestrator.desk import queues as desk
from orchestrator.desk.census import QueueCensus
from orchestrator.lifecycle import ActKind, RunState, covers
from orchestrator.pages.asked import PageQuery, asked_for, checked
from orchestrator.pages.blueprint import form, page, pages
from orchestrator.pages.form import Form
from orchestrator.pages.sparkline import HEIGHT, STEP, sparkline
from orchestrator.pages.template import address_of, go_to, screen
from orchestrator.store.activity import claimed_per_minute
from orchestrator.store.limits import NewLimits
from orchestrator.store.queues import QueueSettings
from orchestrator.store.transaction import transact

QUEUES_SHOWN: Final = 200
MINUTES_SHOWN: Final = 60
MOST_DIGITS: Final = 18
LIMITS: Final = ("maxConcurrency", "ratePerSecond", "maxConcurrencyPerKey")


class QueuesQuery(PageQuery):
    """Which queues to show: those whose names begin so."""

    begins: Name | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """
    A queue as the page shows it.

    Attributes:
        oldest_at: Since when the oldest has been due of those that are claimed next.
        claimed: From it, in each of the last minutes; None when nothing was.
    """

    census: QueueCensus
    settings: QueueSettings
    oldest_at: datetime | None
    claimed: list[int] | None


@pages.get("/queues")
@page(WATCHERS)
def show_queues() -> Response:
    """The viewer's queues, by name."""
    asked, ours, database = asked_for(QueuesQuery), caller().queues, services().database
    census = services().census.now()
    found = [
        each
        for each in desk.queues_in_use(database, census)
        if covers(ours, each.name) and each.name.startswith(asked.begins or "")
    ]
    shown = found[:QUEUES_SHOWN]
    claimed = transact(
        database.work,
        lambda connection: claimed_per_minute(
            connection, [each.name for each in shown], minutes=MINUTES_SHOWN
        ),
    )
    return screen(
        "queues.html",
        queues=[
            Shown(
                each,
                each.settings or QueueSettings(each.name),
                _since(census.at, each.oldest_pending_seconds),
                claimed.get(each.name),
            )
            for each in shown
        ],
        asked=asked,
        is_cut=len(found) > QUEUES_SHOWN,
        queues_shown=QUEUES_SHOWN,
        may_act=caller().role in OPERATORS,
        RunState=RunState,
        sparkline=sparkline,
        line_height=HEIGHT,
        line_width=STEP * (MINUTES_SHOWN - 1),
    )


@pages.post("/queues/<name>/limits")
@form(OPERATORS)
def put_limits(sent: Form, name: str) -> Response:
    """Set how much is claimed from a queue, as the API does; what is left empty is no limit."""
    queue = name_of(name)
    require_queues(caller(), [queue])
    asked = checked(QueueLimits, {limit: _number(sent.get(limit, "").strip()) for limit in LIMITS})
    desk.put_limits(
        services().database,
        NewLimits(
            queue=queue,
            max_concurrency=asked.max_concurrency,
            rate_per_second=asked.rate_per_second,
            max_concurrency_per_key=asked.max_concurrency_per_key,
            actor=caller().name,
        ),
        line=asked_act(ActKind.LIMIT_QUEUE, queue, queue=queue, **asked.model_dump(by_alias=True)),
    )
    return _shown(queue)


@pages.post("/queues/<name>/pause")
@form(OPERATORS)
def pause_queue(_sent: Form, name: str) -> Response:
    """Claim nothing more from a queue."""
    return _set_paused(name, paused=True)


@pages.post("/queues/<name>/resume")
@form(OPERATORS)
def resume_queue(_sent: Form, name: str) -> Response:
    """Claim from a queue again."""
    return _set_paused(name, paused=False)


def _set_paused(name: str, *, paused: bool) -> Response:
    queue, actor = name_of(name), caller().name
    require_queues(caller(), [queue])
    line = asked_act(ActKind.PAUSE_QUEUE if paused else ActKind.RESUME_QUEUE, queue, queue=queue)
    desk.set_paused(services().database, queue, paused=paused, actor=actor, line=line)
    return _shown(queue)


def _shown(queue: str) -> Response:
    return go_to(address_of("show_queues", _anchor=f"queue-{queue}"))


def _number(text: str) -> int | str | None:
    # What is no number is left to the strict integer to refuse; and what is a very long one.
    is_number = text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS
    return int(text) if is_number else text or None


def _since(at: datetime, seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    # To the second: what is counted anew is the same moment, but for a few milliseconds.
    return (at - timedelta(seconds=seconds)).replace(microsecond=0)

"""Who did what: operators, clients and the command line, newest first."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from flask import Response
from sqlalchemy import Connection

from orchestrator.api.access import WATCHERS, caller
from orchestrator.api.context import services
from orchestrator.api.cursor import make_cursor, read_cursor
from orchestrator.api.wire.audit import ActsQuery
from orchestrator.lifecycle import ActKind
from orchestrator.pages.asked import asked_for
from orchestrator.pages.blueprint import page, pages
from orchestrator.pages.template import address_of, screen
from orchestrator.store.operator_acts import ActFilter, NotedAct, line_before, list_acts
from orchestrator.store.transaction import transact

ACTS_SHOWN: Final = 50
# What a look costs at most, whatever is sought: its page is asked for every two seconds.
LINES_SEARCHED: Final = 20_000

# The pages on which things stand together, each at its own place.
_LISTS: Final = {
    "queue": "show_queues",
    "executor": "show_executors",
    "schedule": "show_schedules",
}


@pages.get("/audit")
@page(WATCHERS)
def show_audit() -> Response:
    """Acts on the viewer's queues; those that concern no single queue for who sees all."""
    asked, who = asked_for(ActsQuery), caller()
    key, filters = services().settings.secret_key.get_secret_value().encode(), asked.filters()
    before = None
    if asked.cursor is not None:
        before = read_cursor(key, asked.cursor, token_name=who.name, filters=filters)

    def look(connection: Connection) -> tuple[list[NotedAct], UUID | None]:
        oldest = line_before(connection, before, lines=LINES_SEARCHED)
        found = list_acts(
            connection,
            queue_patterns=who.queues,
            wanted=ActFilter(asked.actor, asked.kind, asked.subject),
            before=before,
            limit=ACTS_SHOWN + 1,
            down_to=oldest,
        )
        return found, oldest

    found, oldest = transact(services().database.work, look)
    last = found[ACTS_SHOWN - 1].id if len(found) > ACTS_SHOWN else oldest
    return screen(
        "audit.html",
        acts=found[:ACTS_SHOWN],
        asked=asked,
        kinds=tuple(ActKind),
        earlier=last and make_cursor(key, last, token_name=who.name, filters=filters),
        searched=LINES_SEARCHED if len(found) <= ACTS_SHOWN and oldest else None,
        address_of_subject=address_of_subject,
    )


def address_of_subject(act: NotedAct) -> str | None:
    """Where a page shows what an act was done to; None: nowhere."""
    thing = act.kind.rpartition("-")[2]
    if thing == "run":
        return address_of("show_run", run_id=act.subject)
    if thing == "workflow":
        return address_of("show_workflow", name=act.subject)
    if thing in _LISTS:
        return address_of(_LISTS[thing], _anchor=f"{thing}-{act.subject}")
    return None

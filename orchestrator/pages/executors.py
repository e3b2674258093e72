"""Executors: who is there, what each holds, and whether it is handed runs."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from flask import Response
from sqlalchemy import Connection

from orchestrator.api.access import OPERATORS, WATCHERS, caller
from orchestrator.api.asked_act import asked_act
from orchestrator.api.context import services
from orchestrator.api.refusals import MalformedRequest
from orchestrator.api.wire.executors import Act
from orchestrator.api.wire.members import Name
from orchestrator.desk.executors import ACTS, Service, set_service
from orchestrator.pages.asked import PageQuery, asked_for, checked
from orchestrator.pages.blueprint import form, page, pages
from orchestrator.pages.fleets import LATE_SECONDS, TOO_LATE_SECONDS, fleets_of
from orchestrator.pages.form import Form
from orchestrator.pages.template import address_of, go_to, screen
from orchestrator.store.executors import Executor, list_executors
from orchestrator.store.leases import server_time
from orchestrator.store.transaction import transact

SESSIONS_SHOWN: Final = 500


class ExecutorsQuery(PageQuery):
    """Which executors to show: those that serve this queue."""

    queue: Name | None = None


@pages.get("/executors")
@page(WATCHERS)
def show_executors() -> Response:
    """The executors that serve one of the viewer's queues; of what they serve, those alone."""
    asked = asked_for(ExecutorsQuery)

    def look(connection: Connection) -> tuple[list[Executor], datetime]:
        return list_executors(connection, limit=SESSIONS_SHOWN + 1), server_time(connection)

    found, now = transact(services().database.work, look)
    fleets = fleets_of(found[:SESSIONS_SHOWN], caller().queues, now)
    return screen(
        "executors.html",
        fleets=[
            fleet
            for fleet in fleets
            if asked.queue is None or any(asked.queue in each.queues for each in fleet.sessions)
        ],
        asked=asked,
        is_cut=len(found) > SESSIONS_SHOWN,
        sessions_shown=SESSIONS_SHOWN,
        may_act=caller().role in OPERATORS,
        late_seconds=LATE_SECONDS,
        too_late_seconds=TOO_LATE_SECONDS,
    )


@pages.post("/executors/<name>/service")
@form(OPERATORS)
def put_service(sent: Form, name: str) -> Response:
    """Drain an executor, hold it in quarantine, or let it go on, as the API does."""
    asked = checked(Act, {"reason": sent.get("reason", "").strip() or None})
    try:
        service = Service(sent.get("service", ""))
    except ValueError:
        raise MalformedRequest("Send the form as its page does.") from None
    set_service(
        services().database,
        name,
        service,
        reason=asked.reason,
        line=asked_act(ACTS[service], name, reason=asked.reason),
        queues=caller().queues,
    )
    return go_to(address_of("show_executors", _anchor=f"executor-{name}"))

"""One run: how it stands, who holds it, what happened to it; and an end to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from flask import Response
from pydantic import ValidationError
from sqlalchemy import Connection

from orchestrator.api.access import OPERATORS, WATCHERS, caller
from orchestrator.api.context import services
from orchestrator.api.parameters import request_id, run_id_of
from orchestrator.api.payload import body_hash
from orchestrator.api.refusals import MalformedRequest
from orchestrator.api.validation import validation_failed
from orchestrator.api.wire.members import canonical_uuid
from orchestrator.api.wire.runs import Abortion
from orchestrator.desk import acts
from orchestrator.desk.visibility import visible_run
from orchestrator.errors import RunNotFound
from orchestrator.lifecycle import OVER, WaitingReason
from orchestrator.pages.blueprint import form, page, pages
from orchestrator.pages.form import Form
from orchestrator.pages.template import address_of, go_to, key_of_form, screen
from orchestrator.store.acts import Act
from orchestrator.store.events import Event, newest_events
from orchestrator.store.excerpts import (
    PayloadExcerpts,
    StepExcerpt,
    payload_excerpts,
    step_excerpts,
)
from orchestrator.store.records import Run
from orchestrator.store.transaction import transact

# What one look at a run costs at most; the API has all of it.
PAYLOAD_CHARACTERS: Final = 16_384
STEPS_SHOWN: Final = 50
EVENTS_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Seen:
    """A run at one look; of what is cut, one more than is shown tells that there is more."""

    run: Run
    payloads: PayloadExcerpts
    steps: list[StepExcerpt]
    events: list[Event]


@pages.get("/runs/<run_id>")
@page(WATCHERS)
def show_run(run_id: str) -> Response:
    """A run of the viewer's queues; any other looks like one that is not there."""
    who, wanted = caller(), run_id_of(run_id)

    def look(connection: Connection) -> Seen:
        run = visible_run(connection, wanted, who.queues)
        payloads = payload_excerpts(connection, run.id, characters=PAYLOAD_CHARACTERS + 1)
        if payloads is None:
            raise RunNotFound
        steps = step_excerpts(
            connection, run.id, limit=STEPS_SHOWN + 1, characters=PAYLOAD_CHARACTERS + 1
        )
        return Seen(run, payloads, steps, newest_events(connection, run.id, limit=EVENTS_SHOWN + 1))

    seen = transact(services().database.work, look)
    return screen(
        "run.html",
        seen=seen,
        payload_characters=PAYLOAD_CHARACTERS,
        steps_shown=STEPS_SHOWN,
        events_shown=EVENTS_SHOWN,
        may_abort=who.role in OPERATORS and _can_be_aborted(seen.run),
        key=key_of_form("abort", f"{seen.run.id} {seen.run.version}"),
    )


@pages.post("/runs/<run_id>/abort")
@form(OPERATORS)
def abort(sent: Form, run_id: str) -> Response:
    """End a run, as the API does. The form has a key: sent twice, it is done once."""
    asked = _abortion(sent)
    act = Act(
        run_id=run_id_of(run_id),
        actor=caller().name,
        request_id=request_id(),
        idempotency_key=str(_key_of(sent)),
        reason=asked.reason,
        body_hash=body_hash("abort", asked.model_dump(mode="json")),
        key_id=caller().key_id,
    )
    run = acts.abort(services().database, act, caller().queues)
    return go_to(address_of("show_run", run_id=run.id))


def _can_be_aborted(run: Run) -> bool:
    return (
        run.run_state not in OVER
        and run.abort_requested_at is None
        and run.waiting_reason != WaitingReason.OUTCOME_UNKNOWN
    )


def _abortion(sent: Form) -> Abortion:
    said = {"reason": sent.get("reason", "").strip() or None}
    try:
        return Abortion.model_validate(said)
    except ValidationError as invalid:
        raise validation_failed(invalid, said) from None


def _key_of(sent: Form) -> UUID:
    try:
        return canonical_uuid(sent.get("key"))
    except ValueError:
        raise MalformedRequest("Send the form as its page does.") from None

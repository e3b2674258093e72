"""One act on many runs: first what it would do, then done round by round, each short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from flask import Response, request
from werkzeug.datastructures import MultiDict

from orchestrator.api.access import OPERATORS, caller
from orchestrator.api.asked_act import asked_act
from orchestrator.api.context import services
from orchestrator.api.payload import body_hash
from orchestrator.api.refusals import MalformedRequest
from orchestrator.api.wire.runs import Abortion
from orchestrator.desk import acts
from orchestrator.desk.bulk import BulkWish, RunAct, act_on_all
from orchestrator.desk.bulk_preview import fitting, preview
from orchestrator.lifecycle import ActKind
from orchestrator.pages.asked import checked, key_of
from orchestrator.pages.blueprint import form, page, pages
from orchestrator.pages.form import Form
from orchestrator.pages.run_query import RunQuery, read_query, run_id_among
from orchestrator.pages.template import LIVE_HEADER, screen
from orchestrator.store.bulk_acts import BulkKey
from orchestrator.store.run_filter import RunFilter

# A round answers so soon; the page asks for the next one.
ROUND_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class BulkForm:
    """
    An act that is offered on many runs.

    Attributes:
        does, done: In words: to retry, retried.
    """

    name: str
    kind: ActKind
    act: RunAct
    does: str
    done: str
    fits: str


_FORMS: Final = {
    each.name: each
    for each in (
        BulkForm(
            "retry", ActKind.RETRY_RUNS, acts.retry, "Retry", "retried", "failed or aborted runs"
        ),
        BulkForm(
            "abort",
            ActKind.ABORT_RUNS,
            acts.abort,
            "Abort",
            "aborted",
            "runs that are not over, unless their outcome is unknown",
        ),
    )
}


@pages.get("/runs/bulk")
@page(OPERATORS)
def show_bulk() -> Response:
    """What the act would do to the chosen runs, or to all that match; and the way to do it."""
    asked, query = _form_of(request.args.get("act", "")), read_query(request.args)
    told = None
    if query.narrows and query.mistake is None:
        told = preview(services().database, asked.kind, query.wanted, caller().queues)
    return screen(
        "bulk.html",
        asked=asked,
        query=query,
        told=told,
        key=uuid4(),
        back=_list_of(query),
    )


@pages.post("/runs/bulk")
@form(OPERATORS)
def act_in_bulk(sent: Form) -> Response:
    """
    One round of the act. Sent again with its key it goes on, and once it is done it gets
    the same answer.
    """
    asked, query = _form_of(sent.get("act", "")), _query_of(sent)
    wanted = fitting(asked.kind, query.wanted) if query.narrows else None
    if wanted is None or query.mistake is not None:
        raise MalformedRequest("Send the form as its page does.")
    reason = checked(Abortion, {"reason": sent.get("reason", "").strip() or None}).reason
    key, newest = str(key_of(sent)), run_id_among(sent.get("newest", ""))
    said = _said_of(wanted)
    wish = BulkWish(
        key=BulkKey(caller().name, key),
        body_hash=body_hash("bulk of a page", asked.name, said, reason, str(newest)),
        wanted=wanted,
        queue_patterns=caller().queues,
        line=asked_act(asked.kind, key, queue=wanted.queue, filter=said, reason=reason),
        reason=reason,
        newest=newest,
    )
    shared = services()
    done = act_on_all(
        shared.database, wish, asked.act, stopping=shared.draining, most_seconds=ROUND_SECONDS
    )
    is_a_round = request.headers.get(LIVE_HEADER) == "true"
    return screen(
        "bulk_round.html" if is_a_round else "bulk_done.html",
        asked=asked,
        query=query,
        done=done,
        sent=sent,
        back=_list_of(query),
    )


def _form_of(name: str) -> BulkForm:
    if name not in _FORMS:
        raise MalformedRequest("Runs can be retried or aborted.")
    return _FORMS[name]


def _query_of(sent: Form) -> RunQuery:
    """A form has each field once: the chosen runs stand in one."""
    said = MultiDict([(name, sent.get(name, "")) for name in ("search", "state")])
    said.setlist("run", sent.get("runs", "").split())
    return read_query(said)


def _list_of(query: RunQuery) -> dict[str, str | None]:
    return {"search": query.text or None, "state": ",".join(query.states) or None}


def _said_of(wanted: RunFilter) -> dict[str, Any]:
    """A filter for the ledger of operators' acts: what narrows it, by its names on the wire."""
    said = {
        "state": list(wanted.states),
        "queue": wanted.queue,
        "workflow": wanted.workflow,
        "executor": wanted.executor,
        "dedupKey": wanted.dedup_key,
        "waiting": wanted.waiting_reason,
        "words": list(wanted.words),
        "ids": [str(run_id) for run_id in wanted.ids],
    }
    return {name: value for name, value in said.items() if value}

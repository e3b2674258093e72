"""What an operator does to a run by a form: the desk's own acts, each done once.

A refusal is shown where the form stood, with what was typed; the run as it is by then
beside it says the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from flask import Response
from pydantic import ValidationError

from orchestrator.api.access import OPERATORS, caller
from orchestrator.api.context import services
from orchestrator.api.parameters import request_id, run_id_of
from orchestrator.api.payload import body_hash, json_text
from orchestrator.api.problems import logged
from orchestrator.api.refusals import MalformedRequest
from orchestrator.api.validation import validation_failed
from orchestrator.api.wire.members import Body, NoMembers, canonical_uuid
from orchestrator.api.wire.runs import Abortion, Resolution, Resumption
from orchestrator.desk import acts
from orchestrator.errors import Conflict, Gone, Unprocessable
from orchestrator.pages.blueprint import form, pages
from orchestrator.pages.form import Form
from orchestrator.pages.run import RefusedForm, run_screen
from orchestrator.pages.template import address_of, go_to
from orchestrator.pages.typed_input import typed_input, typed_json
from orchestrator.store.acts import Act
from orchestrator.store.records import Run

Asked = TypeVar("Asked", bound=Body)

_VERSION: Final = re.compile(r"[1-9][0-9]{0,17}")


@pages.post("/runs/<run_id>/abort")
@form(OPERATORS)
def abort(sent: Form, run_id: str) -> Response:
    """End a run, as the API does."""

    def do() -> Run:
        asked = _asked(Abortion, {"reason": sent.get("reason", "").strip() or None})
        act = _act(sent, run_id, "abort", asked, reason=asked.reason)
        return acts.abort(services().database, act, caller().queues)

    return _done(sent, run_id, "abort", do)


@pages.post("/runs/<run_id>/retry")
@form(OPERATORS)
def retry(sent: Form, run_id: str) -> Response:
    """Run a failed or aborted run again, as the API does."""

    def do() -> Run:
        act = _act(sent, run_id, "retry", NoMembers())
        return acts.retry(services().database, act, caller().queues)

    return _done(sent, run_id, "retry", do)


@pages.post("/runs/<run_id>/resume")
@form(OPERATORS)
def resume(sent: Form, run_id: str) -> Response:
    """Give a waiting run its input, as the API does; but only what its form was made for."""

    def do() -> Run:
        asked = _asked(Resumption, {"input": typed_input(sent)})
        return acts.resume(
            services().database,
            _act(sent, run_id, "resume", asked),
            caller().queues,
            value=asked.input,
            input_json=json_text(asked.input),
            seen_version=_seen_version(sent),
        )

    return _done(sent, run_id, "resume", do)


@pages.post("/runs/<run_id>/resolve")
@form(OPERATORS)
def resolve(sent: Form, run_id: str) -> Response:
    """Say what became of the step that its form asked about, as the API does."""

    def do() -> Run:
        output = sent.get("output", "").strip()
        said = {
            "as": sent.get("as"),
            "output": typed_json(output, "/output") if output else None,
            "next": sent.get("next") or None,
        }
        asked = _asked(Resolution, said)
        return acts.resolve(
            services().database,
            _act(sent, run_id, "resolve", asked),
            caller().queues,
            as_=asked.as_,
            output_json=json_text(asked.output),
            next_step=asked.next,
            seen_version=_seen_version(sent),
        )

    return _done(sent, run_id, f"resolve-{sent.get('as')}", do)


def _done(sent: Form, run_id: str, name: str, do: Callable[[], Run]) -> Response:
    """Do it and show the run; what the run does not allow is said on its page."""
    try:
        run = do()
    except (Conflict, Gone, Unprocessable) as refusal:
        return run_screen(run_id, refused=RefusedForm(name, logged(refusal), sent))
    return go_to(address_of("show_run", run_id=run.id))


def _asked(kind: type[Asked], said: dict[str, Any]) -> Asked:
    try:
        return kind.model_validate(said)
    except ValidationError as invalid:
        raise validation_failed(invalid, said) from None


def _act(sent: Form, run_id: str, name: str, asked: Body, *, reason: str | None = None) -> Act:
    try:
        key = canonical_uuid(sent.get("key"))
    except ValueError:
        raise MalformedRequest("Send the form as its page does.") from None
    return Act(
        run_id=run_id_of(run_id),
        actor=caller().name,
        request_id=request_id(),
        idempotency_key=str(key),
        reason=reason,
        body_hash=body_hash(name, asked.model_dump(mode="json")),
        key_id=caller().key_id,
    )


def _seen_version(sent: Form) -> int:
    version = sent.get("version", "")
    if not _VERSION.fullmatch(version):
        raise MalformedRequest("Send the form as its page does.")
    return int(version)

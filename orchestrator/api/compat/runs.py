"""Runs handed out: by a poll, and by number; and whether somebody may see one."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from flask import Response, request

from orchestrator.api.access import EXECUTORS, allow, caller
from orchestrator.api.answer import answer
from orchestrator.api.compat.blueprint import ROOT, compat, nothing
from orchestrator.api.compat.callers import asker, by_secret
from orchestrator.api.compat.profile import subject_of
from orchestrator.api.compat.run_body import run_body
from orchestrator.api.context import services
from orchestrator.api.wire.members import canonical_uuid
from orchestrator.desk.compat_claims import RunName, claim, find, poll
from orchestrator.errors import RunNotFound

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,15}")
_GREATEST_NUMBER: Final = 2**53 - 1


@compat.get(f"{ROOT}/pending-run")
@allow(EXECUTORS, told_by=by_secret)
def pending_runs() -> Response:
    """Lease the next runs, all that one poll may get; nothing is waited for."""
    parts = services()
    who = asker(request)
    handed = poll(parts.database, parts.claim_desk, who, limit=parts.settings.compat_runs_per_poll)
    return answer([run_body(each, key_id=who.key_id) for each in handed])


@compat.get(f"{ROOT}/available-run/<named>")
@allow(EXECUTORS, told_by=by_secret)
def available_run(named: str) -> Response:
    """Lease this run; `null` when it cannot be had now, and when there is no such run."""
    who, name = asker(request), _name(named)
    handed = claim(services().database, who, name) if name else None
    return nothing() if handed is None else answer(run_body(handed, key_id=who.key_id))


@compat.get(f"{ROOT}/run/<named>/access-check")
@allow(EXECUTORS, told_by=by_secret)
def access_check(named: str) -> Response:
    """Whether a user may look at a run: the one that it is executed as."""
    return answer({"hasAccess": _may_look(_name(named), request.args.get("userId"))})


def _may_look(name: RunName | None, user_id: str | None) -> bool:
    if name is None:
        return False
    try:
        run = find(services().database, caller().queues, name)
    except RunNotFound:
        return False
    return user_id == str(subject_of(run.id, run.workflow, run.workflow_version, run.input).user_id)


def number_of(text: str | None) -> int | None:
    """A run's number as it stands in an address; None for whatever is none."""
    if text is None or not _NUMBER.fullmatch(text):
        return None
    number = int(text)
    return number if number <= _GREATEST_NUMBER else None


def _name(text: str) -> RunName | None:
    """How a run is named in a path: by its number, or by its id, before it has one."""
    number = number_of(text)
    if number is not None:
        return RunName(number=number)
    run_id = _id(text)
    return None if run_id is None else RunName(run_id=run_id)


def _id(text: str) -> UUID | None:
    try:
        return canonical_uuid(text)
    except ValueError:
        return None

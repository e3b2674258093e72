"""One run: how it stands and why, who holds it, what happened to it, and what can be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from flask import Response

from orchestrator.api.access import OPERATORS, WATCHERS, caller
from orchestrator.api.context import services
from orchestrator.api.parameters import run_id_of
from orchestrator.api.problems import status_of
from orchestrator.desk.explain import explain_run
from orchestrator.desk.explanation import Explanation
from orchestrator.desk.run_facts import Onlooker
from orchestrator.errors import DibsError
from orchestrator.lifecycle import OVER, RunState, WaitingReason
from orchestrator.pages import curl
from orchestrator.pages.blueprint import page, pages
from orchestrator.pages.duration import duration_text
from orchestrator.pages.event_words import unsaid_detail, words_of
from orchestrator.pages.life import life_of
from orchestrator.pages.refused_claims import refused_claims
from orchestrator.pages.ribbon import ribbon_of
from orchestrator.pages.run_look import (
    EVENTS_SHOWN,
    PAYLOAD_CHARACTERS,
    STEPS_SHOWN,
    look_at_run,
)
from orchestrator.pages.stored_error import StoredError
from orchestrator.pages.template import address_of, key_of_form, screen
from orchestrator.pages.typed_input import WHOLE
from orchestrator.pages.wanted_input import WantedInput
from orchestrator.store.records import Run


@dataclass(frozen=True, slots=True)
class RefusedForm:
    """
    A form whose act was refused, to be shown again as it was filled in.

    Attributes:
        act: Which of the run's forms.
        typed: Its fields.
    """

    act: str
    refusal: DibsError
    typed: Mapping[str, str] = field(default_factory=dict)

    @property
    def faults(self) -> dict[str, str]:
        """What is wrong with which field, by the field's name; of each the first fault."""
        found: dict[str, str] = {}
        for fault in self.refusal.members.get("errors", ()):
            found.setdefault(fault["path"].removeprefix("/"), fault["message"])
        return found


def typed_into(refused: RefusedForm | None, act: str, name: str, otherwise: str = "") -> str:
    """What was typed into a field of a form that was refused; of any other form `otherwise`."""
    if refused is None or refused.act != act:
        return otherwise
    return refused.typed.get(name, otherwise)


@pages.get("/runs/<run_id>")
@page(WATCHERS)
def show_run(run_id: str) -> Response:
    """A run of the viewer's queues; any other looks like one that is not there."""
    return run_screen(run_id)


def run_screen(run_id: str, *, refused: RefusedForm | None = None) -> Response:
    """
    The page of a run as it is now.

    Args:
        refused: What whoever looks has just tried in vain.

    Raises:
        RunNotFound.
    """
    who = caller()
    seen = look_at_run(services().database, run_id_of(run_id), who.queues)
    run = seen.run
    life = life_of(seen.events[:EVENTS_SHOWN], step_index=run.step_index)
    return screen(
        "run.html",
        200 if refused is None else status_of(type(refused.refusal)),
        looked_at=address_of("show_run", run_id=run.id),
        seen=seen,
        payload_characters=PAYLOAD_CHARACTERS,
        steps_shown=STEPS_SHOWN,
        events_shown=EVENTS_SHOWN,
        explanation=_explanation(run),
        life=life,
        ribbon=ribbon_of(life),
        words_of=words_of,
        unsaid_detail=unsaid_detail,
        wanted=_wanted(run),
        WHOLE=WHOLE,
        keys={act: key_of_form(act, f"{run.id} {run.version}") for act in _acts(run)}
        if who.role in OPERATORS
        else {},
        refused=refused,
        typed=partial(typed_into, refused),
        refused_claims=refused_claims,
        stored_error=StoredError.of,
        curl=curl,
        duration=duration_text,
    )


_RESOLUTIONS: Final = ("resolve-done", "resolve-run-again", "resolve-abort")


def _acts(run: Run) -> tuple[str, ...]:
    """What can be done to a run as it stands; the desk decides again."""
    if run.waiting_reason == WaitingReason.OUTCOME_UNKNOWN:
        return _RESOLUTIONS
    if run.run_state in (RunState.FAILED, RunState.ABORTED):
        return ("retry",)
    if run.run_state in OVER:
        return ()
    can_be_aborted = ("abort",) if run.abort_requested_at is None else ()
    return (*(("resume",) if run.run_state == RunState.WAITING else ()), *can_be_aborted)


def _explanation(run: Run) -> Explanation | None:
    """Why a run does not execute now; of one that is over there is nothing to explain."""
    if run.run_state in OVER:
        return None
    onlooker = Onlooker(caller().queues, sees_executors=True)
    return explain_run(services().database, run.id, onlooker)


def _wanted(run: Run) -> WantedInput | None:
    is_asked = run.waiting_reason == WaitingReason.INPUT
    return WantedInput.of(run.waiting_for) if is_asked and run.waiting_for is not None else None

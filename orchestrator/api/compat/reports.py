"""The outcomes of steps, and what comes next."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from flask import Response, request
from pydantic import Field

from orchestrator.api.access import EXECUTORS, allow
from orchestrator.api.answer import answer
from orchestrator.api.compat.blueprint import ROOT, Sent, compat, nothing, read
from orchestrator.api.compat.callers import asker, by_secret
from orchestrator.api.compat.run_body import run_body
from orchestrator.api.context import services
from orchestrator.api.payload import body_hash, json_text
from orchestrator.api.wire.members import MAX_TEXT_CHARACTERS
from orchestrator.desk.compat_reports import Told, report
from orchestrator.errors import ValidationFailed
from orchestrator.lifecycle import WaitingReason

_GREATEST_NUMBER: Final = 2**53 - 1

Status = Literal["success", "error", "awaiting-input"]


class Approval(Sent):
    """What somebody else is asked to approve."""

    id: str | int


class Context(Sent):
    """What an executor says of a step besides how it ended."""

    status: Status | None = None
    selected_option: str | None = None
    approval_request: Approval | None = None
    awaiting_input_reason: str | None = None


class Attributes(Sent):
    context: Context = Context()


class StepUpdate(Sent):
    """Which step."""

    step_index: int = Field(ge=0, lt=2**31)
    attributes: Attributes


class ExecutionStatus(Sent):
    """How it ended."""

    type: Status
    message: str | None = None


class Update(Sent):
    """The outcome of one step."""

    run_id: Annotated[int, Field(ge=1, le=_GREATEST_NUMBER)]
    step_update: StepUpdate
    execution_status: ExecutionStatus


@compat.post(f"{ROOT}/update-step")
@allow(EXECUTORS, budgeted=False, told_by=by_secret)
def update_step() -> Response:
    """Store an outcome, and hand over what comes next; `null` when the executor is to stop."""
    parts, who = services(), asker(request)
    update, sent = read(Update)
    handed = report(parts.database, parts.report_desk, who, _told(update, sent))
    return nothing() if handed is None else answer(run_body(handed, key_id=who.key_id))


def _told(update: Update, sent: dict[str, Any]) -> Told:
    status, context = update.execution_status.type, update.step_update.attributes.context
    if context.status not in (None, status):
        raise ValidationFailed(
            [
                {
                    "path": "/executionStatus/type",
                    "message": f"says {status}, and the step's context {context.status}",
                }
            ]
        )
    is_success = status == "success"
    return Told(
        number=update.run_id,
        step_index=update.step_update.step_index,
        status=status,
        outcome_hash=body_hash("compat-outcome", sent),
        option=context.selected_option if is_success else None,
        output=_output(context) if is_success else None,
        message=_message(update) if status == "error" else None,
        waiting_for=_waiting_for(context) if status == "awaiting-input" else None,
    )


def _message(update: Update) -> str:
    # A text that is too long must not keep a step from ending.
    return (update.execution_status.message or "error")[:MAX_TEXT_CHARACTERS]


def _output(context: Context) -> str | None:
    """All that is told of a result: what was selected, and what is to be approved."""
    told: dict[str, Any] = {}
    if context.selected_option is not None:
        told["selectedOption"] = context.selected_option
    if context.approval_request is not None:
        told["approvalRequest"] = {"id": context.approval_request.id}
    return json_text(told) if told else None


def _waiting_for(context: Context) -> str:
    told: dict[str, str] = {"reason": WaitingReason.INPUT}
    if context.awaiting_input_reason:
        told["message"] = context.awaiting_input_reason[:MAX_TEXT_CHARACTERS]
    return json_text(told)

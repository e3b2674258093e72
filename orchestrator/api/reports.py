"""Reports: the outcomes of steps, each judged on its own."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Response

from orchestrator.api.access import EXECUTORS, allow, caller
from orchestrator.api.answer import answer
from orchestrator.api.blueprint import blueprint
from orchestrator.api.bodies import result_body
from orchestrator.api.context import services
from orchestrator.api.direct import direct
from orchestrator.api.parameters import request_id
from orchestrator.api.payload import body_hash, json_text, payload_text
from orchestrator.api.problems import problem_members
from orchestrator.api.repeats import NATURALLY, repeats
from orchestrator.api.traced import tell_span, traced
from orchestrator.api.wire.reports import (
    AwaitingInput,
    Later,
    Report,
    ReportResults,
    Reports,
    StepError,
    Success,
    Unknown,
    as_sent,
)
from orchestrator.desk.expected_input import bad_schema
from orchestrator.desk.report_desk import REFUSED, ReportAnswer
from orchestrator.errors import DibsError, ValidationFailed
from orchestrator.lifecycle import WaitingReason
from orchestrator.store import reports as store

reports = blueprint("reports")


@reports.post("/v1/reports")
@direct
@allow(EXECUTORS, budgeted=False)
@repeats(
    NATURALLY,
    "The same outcome under the lease that made it gets the stored answer (`replayed: true`),"
    " whatever has happened since.",
)
@reports.input(Reports, arg_name="asked")
@reports.output(ReportResults)
@traced()
def report(asked: Reports) -> Response:
    """Store outcomes, in the order asked.

    A batch that fits the schema is answered 200; why an item was refused stands
    in its `problem`. The same outcome under the lease that made it is replayed.
    """
    tell = partial(
        store.Report, token_name=caller().name, request_id=request_id(), chain=asked.chain
    )
    told: dict[int, store.Report] = {}
    results: dict[int, ReportAnswer] = {}
    for place, item in enumerate(asked.reports):
        try:
            told[place] = _told(tell, item, f"/reports/{place}")
        except DibsError as refusal:
            results[place] = ReportAnswer(item.run_id, REFUSED, problem=refusal)
    stored = services().report_desk.report(list(told.values()))
    tell_span(reports=len(asked.reports))
    results |= dict(zip(told, stored, strict=True))
    for result in results.values():
        if result.problem is not None:
            services().traffic.note_problem(result.problem.code)
    return answer({"results": [_body(results[place]) for place in range(len(asked.reports))]})


def _body(result: ReportAnswer) -> dict[str, Any]:
    return result_body(result, problem_members(result.problem) if result.problem else None)


def _told(tell: partial[store.Report], item: Report, path: str) -> store.Report:
    """
    One report as the store takes it.

    Args:
        tell: Makes one, of all that is alike for the whole batch.

    Raises:
        PayloadTooLarge, ValidationFailed: This item alone cannot be stored.
    """
    if item.step_index < 0:
        raise ValidationFailed([{"path": f"{path}/stepIndex", "message": "must not be negative"}])
    outcome = item.outcome
    sent = as_sent(outcome)
    tell = partial(
        tell,
        run_id=item.run_id,
        lease_id=item.lease_id,
        step_index=item.step_index,
        status=outcome.status,
        outcome_hash=body_hash("outcome", sent),
    )
    match outcome:
        case Success():
            output = payload_text(outcome.output, f"{path}/outcome/output")
            return tell(output=output, next_step=outcome.next)
        case StepError():
            return tell(message=outcome.message, retryable=outcome.retryable)
        case Unknown():
            return tell(message=outcome.message)
        case AwaitingInput():
            payload_text(sent["waitingFor"], f"{path}/outcome/waitingFor")
            _require_schema(outcome.waiting_for.schema_, f"{path}/outcome/waitingFor/schema")
            waiting_for = {"reason": WaitingReason.INPUT, **sent["waitingFor"]}
            return tell(waiting_for=json_text(waiting_for))
        case Later():
            return tell(available_at=outcome.available_at)


def _require_schema(schema: Any, path: str) -> None:
    if schema is not None and (wrong := bad_schema(schema)):
        raise ValidationFailed([{"path": path, "message": f"is no JSON schema: {wrong}"}])

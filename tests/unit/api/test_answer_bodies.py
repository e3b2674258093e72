"""What is written by hand has exactly the members that the document describes."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import orjson
import pytest

from orchestrator.api import bodies
from orchestrator.api.answer import rfc3339, to_json
from orchestrator.api.wire.claims import Dispatch
from orchestrator.api.wire.executors import ExecutorView
from orchestrator.api.wire.explanation import ExplanationView, GateView
from orchestrator.api.wire.queues import QueueView
from orchestrator.api.wire.reports import ReportResult
from orchestrator.api.wire.runs import RunEvent, RunStep, RunView
from orchestrator.desk.census import QueueCensus
from orchestrator.desk.explanation import Explanation, GateSeen
from orchestrator.desk.report_desk import ReportAnswer
from orchestrator.store import records
from orchestrator.store.events import Event
from orchestrator.store.executors import Executor
from orchestrator.store.steps import Step

AN_ID = UUID("01a20398-f4e1-7770-9bf5-9dee2154fafc")
AN_INSTANT = datetime(2026, 11, 22, 13, 26, 58, 123999, UTC)


def record(kind, **values):
    """A record with nothing in it but what is given."""
    return kind(**{name: values.get(name) for name in kind.__match_args__})


RUN = record(
    records.Run, id=AN_ID, input=orjson.Fragment(b'{"n": 18446744073709551616}'), step_index=0
)
EXPLANATION = record(Explanation, gates=[record(GateSeen)])
LEASE = records.Lease(AN_ID, 7, AN_INSTANT, 30)
DISPATCH = records.Dispatch(
    RUN, LEASE, resume_input=None, params=None, mutating=False, timeout_seconds=None
)


def members(model):
    return {field.alias for field in model.model_fields.values()}


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (bodies.run_body(RUN), RunView),
        (bodies.dispatch_body(DISPATCH), Dispatch),
        (bodies.explanation_body(EXPLANATION), ExplanationView),
        (bodies.explanation_body(EXPLANATION)["gates"][0], GateView),
        (bodies.event_body(record(Event)), RunEvent),
        (bodies.step_body(record(Step)), RunStep),
        (bodies.executor_body(record(Executor)), ExecutorView),
        (bodies.queue_body(QueueCensus("billing"), AN_INSTANT), QueueView),
        (bodies.result_body(ReportAnswer(AN_ID, "finished"), None), ReportResult),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_answer_has_the_members_of_its_model(body, model):
    assert set(body) == members(model)


def test_the_parts_of_a_dispatch_have_the_members_of_their_models():
    body = bodies.dispatch_body(DISPATCH)

    for part, field in Dispatch.model_fields.items():
        assert set(body[part]) == members(field.annotation)


def test_only_a_dispatch_shows_the_id_of_a_lease():
    assert b"leaseId" not in to_json(bodies.run_body(RUN))
    assert b"requestId" in to_json(bodies.event_body(record(Event)))
    assert b"leaseId" not in to_json(bodies.event_body(record(Event)))


def test_a_resumed_step_gets_the_input_that_resumed_it():
    resumed = bodies.dispatch_body(DISPATCH._replace(resume_input=orjson.Fragment(b"null")))

    assert resumed["step"]["resumed"]
    assert orjson.loads(to_json(resumed))["step"]["input"] is None


def test_a_payload_is_written_as_it_was_stored():
    assert b'"input":{"n": 18446744073709551616}' in to_json(bodies.run_body(RUN))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (AN_INSTANT, "2026-11-22T13:26:58.123Z"),
        (AN_INSTANT.replace(microsecond=0), "2026-11-22T13:26:58.000Z"),
        (AN_INSTANT.replace(microsecond=1), "2026-11-22T13:26:58.000Z"),
        (AN_INSTANT.replace(microsecond=120_000), "2026-11-22T13:26:58.120Z"),
        (AN_INSTANT.astimezone(timezone(timedelta(hours=14))), "2026-11-22T13:26:58.123Z"),
    ],
)
def test_an_instant_is_utc_with_milliseconds(at, expected):
    assert rfc3339(at) == expected
    assert to_json({"at": at}) == f'{{"at":"{expected}"}}'.encode()

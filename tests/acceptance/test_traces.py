"""Traces, span by span: of real processes, as a collector gets them."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from secrets import token_hex
from uuid import uuid4

import pytest

from executor.collector import COMPLAINT_SECONDS
from orchestrator.lifecycle import Role
from orchestrator.tracing import MOST_LINKS
from tests.acceptance.client import Client, outcome_of
from tests.acceptance.collector import Collector, Span, collector
from tests.acceptance.processes import Executor
from tests.acceptance.stage import Fleet, Stage, check_all_ledgers, stage_on
from tests.acceptance.waiting import eventually
from tests.database import Template, fresh_database

ORCHESTRATOR, EXECUTOR = "dibs-orchestrator", "dibs-executor"
CREATE, CLAIM, REPORT = "POST /v1/runs", "POST /v1/claims", "POST /v1/reports"
CLAIM_BY_ID = "POST /v1/runs/<run_id>/claim"
START = "POST /v1/runs/<run_id>/steps/<index>/start"


@pytest.fixture(scope="module")
def traces() -> Iterator[Collector]:
    with collector() as traces:
        yield traces


@pytest.fixture(scope="module")
def stage(
    template: Template, tmp_path_factory: pytest.TempPathFactory, traces: Collector
) -> Iterator[Stage]:
    """An orchestrator that sends its spans."""
    with (
        fresh_database(template) as database,
        stage_on(database, tmp_path_factory.mktemp("stage"), **traces.settings()) as stage,
    ):
        yield stage
        check_all_ledgers(database)


@pytest.fixture
def executor(fleet: Fleet, traces: Collector) -> Executor:
    """An executor that sends its spans."""
    return fleet.start("one", **traces.settings())


class Caller:
    """Somebody with a span of his own, which is never sent here."""

    def __init__(self) -> None:
        self.trace_id, self.id = token_hex(16), token_hex(8)
        self.context = self.trace_id, self.id
        self.traceparent = f"00-{self.trace_id}-{self.id}-01"


@pytest.fixture
def caller() -> Caller:
    return Caller()


def transactions_in(traces: Collector, span: Span) -> list[Span]:
    return traces.spans(name="transaction", parent=span.id)


def test_a_run_is_one_trace_from_its_create_to_its_report(
    web: Client, queue: str, caller: Caller, traces: Collector, executor: Executor
) -> None:
    run_id = web.create(queue, traceparent=caller.traceparent)
    assert web.wait_for(run_id)["runState"] == "finished"

    of_it = {"trace_id": caller.trace_id}
    reported = traces.wait_for_one(name=REPORT, **of_it)
    report = traces.wait_for_one(name="report", **of_it)
    step = traces.wait_for_one(name="step record", **of_it)
    created = traces.wait_for_one(name=CREATE, **of_it)
    (claim,) = [span for span in traces.wait_for(name="claim") if caller.context in span.links]
    granted = traces.wait_for_one(name=CLAIM, trace_id=claim.trace_id)

    assert (created.service, created.kind, created.parent) == (ORCHESTRATOR, "server", caller.id)
    assert (step.service, step.kind, step.parent) == (EXECUTOR, "consumer", caller.id)
    assert (report.service, report.kind, report.parent) == (EXECUTOR, "client", step.id)
    assert (reported.service, reported.kind, reported.parent) == (
        ORCHESTRATOR,
        "server",
        report.id,
    )
    assert step.links == {claim.context}
    assert (claim.service, claim.kind, claim.parent) == (EXECUTOR, "client", "")
    assert (granted.service, granted.kind, granted.parent) == (ORCHESTRATOR, "server", claim.id)
    assert granted.links == {caller.context}
    assert {span.name for span in traces.spans(**of_it)} == {
        CREATE,
        "step record",
        "report",
        REPORT,
        "transaction",
    }
    assert {span.kind for span in transactions_in(traces, created)} == {"client"}
    assert transactions_in(traces, reported) != []


def test_a_span_says_what_it_is_about_and_holds_no_payload_and_no_lease(
    web: Client, queue: str, caller: Caller, traces: Collector, executor: Executor
) -> None:
    run_id = web.create(queue, input={"card": "4929-secret"}, traceparent=caller.traceparent)
    run = web.wait_for(run_id)
    traces.wait_for_one(name=REPORT, trace_id=caller.trace_id)
    lease_id = executor.said("step_ended")[0]["lease_id"]

    step = traces.wait_for_one(name="step record", trace_id=caller.trace_id)
    assert step.attributes == {
        "messaging.system": "dibs",
        "messaging.operation.type": "process",
        "messaging.destination.name": queue,
        "messaging.message.id": run_id,
        "dibs.run.id": run_id,
        "dibs.workflow": "record",
        "dibs.step.name": "record",
        "dibs.step.index": 0,
        "dibs.attempt": 1,
        "dibs.fence": run["fence"],
        "dibs.outcome": "success",
    }
    created = traces.wait_for_one(name=CREATE, trace_id=caller.trace_id)
    assert created.attributes == {
        "messaging.system": "dibs",
        "http.request.method": "POST",
        "http.route": "/v1/runs",
        "http.response.status_code": 201,
        "dibs.run.id": run_id,
        "dibs.workflow": "record",
        "dibs.queue": queue,
        "dibs.created": True,
    }
    said = str([span.attributes for span in traces.spans()])
    assert "4929-secret" not in said
    assert lease_id not in said


def test_a_later_attempt_begins_a_trace_of_its_own_that_is_linked_to_the_runs(
    web: Client, queue: str, caller: Caller, traces: Collector, executor: Executor
) -> None:
    run_id = web.create(queue, "fail", input={"times": 1}, traceparent=caller.traceparent)
    assert web.wait_for(run_id)["runState"] == "finished"

    steps = traces.wait_for(2, name="step fail", run_id=run_id)

    first, second = sorted(steps, key=lambda span: str(span.attributes["dibs.attempt"]))
    assert first.context[0] == caller.trace_id
    assert (first.attributes["dibs.outcome"], first.has_failed) == ("error", True)
    assert second.parent == ""
    assert second.trace_id != caller.trace_id
    assert caller.context in second.links
    assert (second.attributes["dibs.outcome"], second.has_failed) == ("success", False)
    report = traces.wait_for_one(name="report", trace_id=second.trace_id)
    assert report.parent == second.id
    assert report.attributes["dibs.report.status"] == "finished"


def test_a_run_without_a_caller_s_span_is_in_the_trace_of_its_create(
    web: Client, queue: str, traces: Collector, executor: Executor
) -> None:
    run = web.wait_for(web.create(queue))

    created = traces.wait_for_one(name=CREATE, run_id=run["id"])
    step = traces.wait_for_one(name="step record", trace_id=created.trace_id)
    assert created.parent == ""
    assert tuple(run["traceparent"].split("-")[1:3]) == created.context
    assert step.parent == created.id


def test_a_traced_header_counts_when_the_body_has_no_traceparent(
    web: Client, queue: str, caller: Caller, traces: Collector
) -> None:
    other = Caller()
    body = {"workflow": "record", "queue": queue}

    by_header = web.ask("POST", "/v1/runs", body, traceparent=caller.traceparent)
    by_body = web.ask(
        "POST",
        "/v1/runs",
        {**body, "traceparent": other.traceparent},
        traceparent=caller.traceparent,
    )

    assert by_header["traceparent"] == caller.traceparent
    assert by_body["traceparent"] == other.traceparent
    assert traces.wait_for_one(name=CREATE, trace_id=caller.trace_id).parent == caller.id
    assert traces.wait_for_one(name=CREATE, trace_id=other.trace_id).parent == other.id


def test_a_repeat_under_its_key_may_come_with_another_span(
    web: Client, queue: str, caller: Caller
) -> None:
    body = {"workflow": "record", "queue": queue}
    key = {"Idempotency_Key": f"key-{queue}"}

    first = web.ask("POST", "/v1/runs", body, traceparent=caller.traceparent, **key)
    again = web.ask("POST", "/v1/runs", body, traceparent=Caller().traceparent, **key)

    assert again["id"] == first["id"]
    assert again["traceparent"] == caller.traceparent


@pytest.mark.parametrize(
    "header",
    [
        "nonsense",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"ff-{'1' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'1' * 16}-01-and-more",
    ],
)
def test_a_header_that_names_no_span_is_as_none(
    web: Client, queue: str, header: str, traces: Collector
) -> None:
    run = web.ask("POST", "/v1/runs", {"workflow": "record", "queue": queue}, traceparent=header)

    created = traces.wait_for_one(name=CREATE, run_id=run["id"])
    assert created.parent == ""
    assert tuple(run["traceparent"].split("-")[1:3]) == created.context


def test_each_run_of_a_batch_keeps_its_own_span_or_the_request_s(
    web: Client, queue: str, caller: Caller, traces: Collector
) -> None:
    own = Caller()
    plain = {"workflow": "record", "queue": queue}

    made = web.ask(
        "POST",
        "/v1/runs/batch",
        {"runs": [plain, {**plain, "traceparent": own.traceparent}]},
        traceparent=caller.traceparent,
    )

    kept = [web.run(one["id"])["traceparent"] for one in made["runs"]]
    assert kept == [caller.traceparent, own.traceparent]
    span = traces.wait_for_one(name="POST /v1/runs/batch", trace_id=caller.trace_id)
    assert (span.parent, span.links) == (caller.id, {own.context})


def test_a_large_batch_is_linked_to_the_first_of_its_runs_spans(
    web: Client, queue: str, caller: Caller, traces: Collector
) -> None:
    owns = [Caller() for _ in range(MOST_LINKS + 2)]
    runs = [{"workflow": "record", "queue": queue, "traceparent": own.traceparent} for own in owns]

    web.ask("POST", "/v1/runs/batch", {"runs": runs}, traceparent=caller.traceparent)

    span = traces.wait_for_one(name="POST /v1/runs/batch", trace_id=caller.trace_id)
    assert span.links == {own.context for own in owns[:MOST_LINKS]}


def test_a_mutating_step_is_written_ahead_within_its_span(
    web: Client, queue: str, caller: Caller, traces: Collector, fleet: Fleet, executor: Executor
) -> None:
    fleet.gates.open("go")
    run_id = web.create(queue, "charge", input={"gate": "go"}, traceparent=caller.traceparent)
    web.wait_for(run_id)

    step = traces.wait_for_one(name="step charge", trace_id=caller.trace_id)
    started = traces.wait_for_one(name=START, trace_id=caller.trace_id)
    assert (started.service, started.parent) == (ORCHESTRATOR, step.id)
    assert started.attributes["dibs.run.id"] == run_id


def test_a_handler_s_own_spans_are_below_its_step(
    web: Client, queue: str, caller: Caller, traces: Collector, executor: Executor
) -> None:
    web.wait_for(web.create(queue, "span", traceparent=caller.traceparent))

    step = traces.wait_for_one(name="step span", trace_id=caller.trace_id)
    own = traces.wait_for_one(name="their own", trace_id=caller.trace_id)
    assert own.parent == step.id


def test_a_trigger_s_claim_is_a_part_of_the_trace_of_whoever_triggers(
    web: Client, queue: str, caller: Caller, traces: Collector, fleet: Fleet
) -> None:
    whoever = Caller()
    executor = fleet.start_idle("one", **traces.settings())
    run_id = web.create(queue, traceparent=caller.traceparent)

    executor.caller().send(
        "POST", f"/runs/{run_id}/trigger", {}, headers={"traceparent": whoever.traceparent}
    )

    step = traces.wait_for_one(name="step record", trace_id=caller.trace_id)
    claim = traces.wait_for_one(name="claim", trace_id=whoever.trace_id)
    granted = traces.wait_for_one(name=CLAIM_BY_ID, trace_id=whoever.trace_id)
    assert (claim.parent, claim.links) == (whoever.id, {caller.context})
    assert (granted.parent, granted.links) == (claim.id, {caller.context})
    assert step.links == {claim.context}


def test_a_claim_that_gets_nothing_leaves_no_span(
    stage: Stage, holder: Client, queue: str, caller: Caller, traces: Collector
) -> None:
    headers = {"traceparent": caller.traceparent}
    nothing = holder.send("POST", "/v1/claims", holder.claim_body(queue), headers=headers)
    with closing(stage.client()) as web:
        web.create(queue)
    something = holder.send("POST", "/v1/claims", holder.claim_body(queue), headers=headers)

    span = traces.wait_for_one(name=CLAIM, trace_id=caller.trace_id)
    assert nothing.json()["dispatches"] == []
    assert span.attributes["messaging.batch.message_count"] == 1
    (dispatch,) = something.json()["dispatches"]
    holder.report(outcome_of(dispatch, {"status": "success", "output": None}))


def test_a_refusal_is_told_by_its_code(
    web: Client, queue: str, caller: Caller, traces: Collector
) -> None:
    body = {"workflow": "record", "queue": queue, "dedupKey": "only-one"}
    web.ask("POST", "/v1/runs", body)

    refused = web.send("POST", "/v1/runs", body, headers={"traceparent": caller.traceparent})

    span = traces.wait_for_one(name=CREATE, trace_id=caller.trace_id)
    assert refused.status_code == span.attributes["http.response.status_code"] == 409
    assert span.attributes["error.type"] == "run-already-active"
    assert not span.has_failed
    # An exception's text may hold what was sent.
    assert span.events == ()


def test_log_lines_say_of_which_run_lease_executor_and_span_they_are(
    stage: Stage,
    web: Client,
    holder: Client,
    queue: str,
    caller: Caller,
    traces: Collector,
    executor: Executor,
) -> None:
    whoever = Caller()
    run_id = web.create(queue, traceparent=caller.traceparent)
    web.wait_for(run_id)
    step = traces.wait_for_one(name="step record", trace_id=caller.trace_id)
    # Nobody claims from there: it stays taken.
    taken = {"workflow": "record", "queue": f"{queue}-idle", "dedupKey": "only-one"}
    web.ask("POST", "/v1/runs", taken)
    web.send("POST", "/v1/runs", taken, headers={"traceparent": caller.traceparent})

    over = holder.send(
        "POST",
        f"/v1/runs/{run_id}/claim",
        {"session": str(uuid4()), "requestId": str(uuid4()), "leaseSeconds": 30, "executor": "two"},
        headers={"traceparent": whoever.traceparent},
    )

    assert over.json()["code"] == "run-over"
    (ended,) = [line for line in executor.said("step_ended") if line["run_id"] == run_id]
    assert (ended["trace_id"], ended["span_id"]) == step.context
    assert ended["executor"] == "one"
    assert ended["lease_id"]
    refused = {line.get("trace_id"): line for line in stage.orchestrator.said("request_refused")}
    assert refused[caller.trace_id]["code"] == "run-already-active"
    assert refused[whoever.trace_id]["run_id"] == run_id
    assert refused[whoever.trace_id]["executor"] == "executor:two"
    assert executor.said("traces_not_sent") == stage.orchestrator.said("traces_not_sent") == []


def test_what_an_end_finds_is_sent(
    template: Template, tmp_path: Path, queue: str, caller: Caller
) -> None:
    later = {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    with collector() as traces, fresh_database(template) as database:
        settings = {**traces.settings(), **later}
        with stage_on(database, tmp_path, **settings) as stage:
            with (
                closing(Fleet(stage, queue, tmp_path)) as fleet,
                closing(stage.client()) as web,
            ):
                executor = fleet.start("one", **settings)
                web.wait_for(web.create(queue, traceparent=caller.traceparent))
                executor.ask_to_end()
                assert executor.wait_for_exit() == 0
            stage.orchestrator.ask_to_end()
            assert stage.orchestrator.wait_for_exit() == 0

        names = {span.name for span in traces.spans(trace_id=caller.trace_id)}
        assert {CREATE, "step record", "report", REPORT} <= names


def test_without_an_endpoint_nothing_is_sent_or_said(
    template: Template, tmp_path: Path, queue: str, caller: Caller, traces: Collector
) -> None:
    off = {**traces.settings(), "OTEL_SDK_DISABLED": "true"}
    with (
        fresh_database(template) as database,
        stage_on(database, tmp_path, **off) as stage,
        closing(Fleet(stage, queue, tmp_path)) as fleet,
        closing(stage.client(Role.CLIENT)) as web,
    ):
        executor = fleet.start("one", **off)
        created = web.ask(
            "POST",
            "/v1/runs",
            {"workflow": "record", "queue": queue},
            traceparent=caller.traceparent,
        )
        run = web.wait_for(created["id"])
        executor.ask_to_end()
        assert executor.wait_for_exit() == 0

        # It is handed on as it came.
        assert run["traceparent"] == caller.traceparent
        (ended,) = executor.said("step_ended")
        assert ended["trace_id"] == caller.trace_id
        assert "span_id" not in ended
    assert traces.spans(trace_id=caller.trace_id) == []


def test_a_collector_that_is_away_is_complained_of_now_and_then_and_holds_nothing_up(
    web: Client, queue: str, fleet: Fleet
) -> None:
    away = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_BSP_SCHEDULE_DELAY": "10",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "NO_PROXY": "127.0.0.1",
    }
    executor = fleet.start("one", **away)
    for _ in range(5):
        web.wait_for(web.create(queue))
    eventually(lambda: executor.said("traces_not_sent"), what="a complaint")
    for _ in range(5):
        web.wait_for(web.create(queue))

    executor.ask_to_end()

    assert executor.wait_for_exit() == 0
    said_at = [
        datetime.fromisoformat(line["timestamp"]) for line in executor.said("traces_not_sent")
    ]
    for earlier, later in pairwise(said_at):
        assert later - earlier > timedelta(seconds=COMPLAINT_SECONDS / 2)

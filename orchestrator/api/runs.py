"""Runs: create them, and read them. Reading never hands out work."""

from __future__ import annotations

from functools import partial

from flask import Response
from uuid_utils.compat import uuid7

from orchestrator.api.access import CLIENTS, READERS, allow, caller, caller_still
from orchestrator.api.answer import answer
from orchestrator.api.blueprint import also, blueprint, refuses, takes
from orchestrator.api.bodies import event_body, run_body, step_body
from orchestrator.api.context import services
from orchestrator.api.direct import direct
from orchestrator.api.paging import page_answer
from orchestrator.api.parameters import IDEMPOTENCY_KEY, idempotency_key, request_id, run_id_of
from orchestrator.api.payload import body_hash, payload_text
from orchestrator.api.queue_access import require_queues
from orchestrator.api.repeats import BY_KEY, repeats
from orchestrator.api.run_filter import run_filter
from orchestrator.api.traced import kept_traceparent, link_span, tell_span, traced
from orchestrator.api.wire.queries import RunQuery, RunsQuery
from orchestrator.api.wire.runs import (
    CreatedRuns,
    RunBatch,
    RunCreation,
    RunEvents,
    RunPage,
    RunRefusals,
    RunSteps,
    RunView,
)
from orchestrator.desk.creates import Wanted
from orchestrator.desk.visibility import visible_run
from orchestrator.errors import (
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    InvalidCursor,
    RunAlreadyActive,
    RunNotFound,
)
from orchestrator.store.events import events_of
from orchestrator.store.refusals import refusals_of
from orchestrator.store.runs import NewRun, list_runs
from orchestrator.store.steps import steps_of
from orchestrator.store.transaction import transact

runs = blueprint("runs")


@runs.post("/v1/runs")
@direct
@allow(CLIENTS)
@refuses(RunAlreadyActive, IdempotencyKeyReused, IdempotencyKeyInvalid)
@repeats(
    BY_KEY,
    "With an Idempotency-Key a repeat gets the run of the first one, with 200. The key counts"
    " for as long as the run is kept.",
)
@takes(IDEMPOTENCY_KEY)
@runs.input(RunCreation, arg_name="asked")
@runs.output(RunView, 201)
@runs.doc(responses=also(200, RunView, "The Idempotency-Key or onConflict found the run."))
@traced(parent=lambda asked: asked.traceparent)
def create_run(asked: RunCreation) -> Response:
    """Create a run. With an Idempotency-Key the request can be repeated."""
    require_queues(caller(), [asked.queue])
    want = _all_of_this_request()
    wanted = _wanted(want, asked, idempotency_key(), "/input")
    [found] = services().create_desk.create([wanted])
    run = found.run
    tell_span(run_id=str(run.id), workflow=run.workflow, queue=run.queue, created=found.created)
    location = {"Location": f"{services().settings.path_prefix}/v1/runs/{run.id}"}
    return answer(run_body(run), 201 if found.created else 200, location)


@runs.post("/v1/runs/batch")
@allow(CLIENTS)
@refuses(RunAlreadyActive, IdempotencyKeyReused, IdempotencyKeyInvalid)
@repeats(
    BY_KEY,
    "Each run that carries an `idempotencyKey` is created once; a repeat finds it (`created: "
    "false`).",
)
@runs.input(RunBatch, arg_name="asked")
@runs.output(CreatedRuns, 201)
@traced()
def create_runs(asked: RunBatch) -> Response:
    """Create up to 1000 runs, all or none. A conflict names the index."""
    if idempotency_key() is not None:
        raise IdempotencyKeyInvalid(f"A batch's runs have keys of their own, no {IDEMPOTENCY_KEY}.")
    require_queues(caller(), {run.queue for run in asked.runs})
    want = _all_of_this_request()
    wanted = [
        _wanted(want, run, run.idempotency_key, f"/runs/{index}/input")
        for index, run in enumerate(asked.runs)
    ]
    found = services().create_desk.create(wanted)
    tell_span(runs=len(found))
    link_span(run.traceparent for run in asked.runs)
    body = [
        {"id": each.run.id, "runState": each.run.run_state, "created": each.created}
        for each in found
    ]
    return answer({"runs": body}, 201)


def _all_of_this_request() -> partial[NewRun]:
    """What the runs of one request have in common; a `traceparent` of a run's own wins."""
    return partial(
        NewRun,
        created_by=caller().name,
        request_id=request_id(),
        traceparent=kept_traceparent(),
    )


def _wanted(want: partial[NewRun], asked: RunCreation, key: str | None, path: str) -> Wanted:
    request_hash = None
    if key is not None:
        sent = asked.model_dump(mode="json", exclude={"idempotency_key"})
        request_hash = body_hash("create", sent)
    new = want(
        id=uuid7(),
        workflow=asked.workflow,
        input=payload_text(asked.input, path),
        queue=asked.queue,
        priority=asked.priority,
        available_at=asked.available_at,
        max_failures=asked.max_failures,
        max_crashes=asked.max_crashes,
        dedup_key=asked.dedup_key,
        idempotency_key=key,
        request_hash=request_hash,
        concurrency_key=asked.concurrency_key,
        **({} if asked.traceparent is None else {"traceparent": asked.traceparent}),
    )
    return Wanted(new, return_active=asked.on_conflict == "return")


@runs.get("/v1/runs")
@allow(READERS)
@refuses(InvalidCursor)
@runs.input(RunsQuery, location="query", arg_name="asked")
@runs.output(RunPage)
def list_all(asked: RunsQuery) -> Response:
    """Runs of the token's queues, newest first."""
    wanted = run_filter(asked)
    queues = caller().queues
    return page_answer(
        asked,
        lambda connection, before, limit: list_runs(
            connection, queue_patterns=queues, wanted=wanted, before=before, limit=limit
        ),
        run_body,
    )


@runs.get("/v1/runs/<run_id>")
@allow(READERS)
@refuses(RunNotFound)
@runs.input(RunQuery, location="query", arg_name="asked")
@runs.output(RunView)
def show(run_id: str, asked: RunQuery) -> Response:
    """A run; with `waitSeconds` as it is when it is over or waiting, or the time is up."""
    run = services().run_watch.run(
        run_id_of(run_id), lambda: caller_still().queues, wait_seconds=asked.wait_seconds
    )
    return answer(run_body(run))


@runs.get("/v1/runs/<run_id>/events")
@allow(READERS)
@refuses(RunNotFound)
@runs.output(RunEvents)
def list_events(run_id: str) -> Response:
    """What happened to a run, oldest first."""
    queues = caller().queues
    found = transact(
        services().database.work,
        lambda connection: events_of(
            connection, visible_run(connection, run_id_of(run_id), queues).id
        ),
    )
    return answer({"items": [event_body(event) for event in found]})


@runs.get("/v1/runs/<run_id>/steps")
@allow(READERS)
@refuses(RunNotFound)
@runs.output(RunSteps)
def list_steps(run_id: str) -> Response:
    """A run's steps, in the order executed."""
    queues = caller().queues
    found = transact(
        services().database.work,
        lambda connection: steps_of(
            connection, visible_run(connection, run_id_of(run_id), queues).id
        ),
    )
    return answer({"items": [step_body(step) for step in found]})


@runs.get("/v1/runs/<run_id>/refusals")
@allow(READERS)
@refuses(RunNotFound)
@runs.output(RunRefusals)
def list_refusals(run_id: str) -> Response:
    """How often somebody was refused a run, or an act under a lease of it, and the last few.

    Written down every few seconds; what a process that was killed had not written down yet
    is missing.
    """
    queues = caller().queues
    found = transact(
        services().database.work,
        lambda connection: refusals_of(
            connection, visible_run(connection, run_id_of(run_id), queues).id
        ),
    )
    return answer({"count": found.number, "last": found.last})

"""What clients and operators do to a run. With an Idempotency-Key each can be repeated."""

from __future__ import annotations

from flask import Response

from orchestrator.api.access import CLIENTS, OPERATORS, allow, caller
from orchestrator.api.answer import answer
from orchestrator.api.blueprint import blueprint, refuses, takes
from orchestrator.api.bodies import run_body
from orchestrator.api.context import services
from orchestrator.api.parameters import IDEMPOTENCY_KEY, idempotency_key, request_id, run_id_of
from orchestrator.api.payload import body_hash, json_text
from orchestrator.api.repeats import BY_KEY, repeats
from orchestrator.api.wire.members import Body, NoMembers
from orchestrator.api.wire.runs import Abortion, Resolution, Resumption, RunView
from orchestrator.desk import acts
from orchestrator.errors import (
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    RunAlreadyActive,
    RunNotFound,
    RunOver,
    StateConflict,
)
from orchestrator.store.acts import Act

run_acts = blueprint("run_acts", tag="Acts on runs")

_BY_KEY = (
    "With an Idempotency-Key it is done once: the key is kept with the event that it causes, and a"
    " repeat gets the run as it is now. Without one it is a compare-and-set on the state."
)


@run_acts.post("/v1/runs/<run_id>/resume")
@allow(CLIENTS)
@refuses(RunNotFound, RunOver, StateConflict, IdempotencyKeyInvalid, IdempotencyKeyReused)
@repeats(BY_KEY, _BY_KEY)
@takes(IDEMPOTENCY_KEY)
@run_acts.input(Resumption, arg_name="asked")
@run_acts.output(RunView)
def resume(run_id: str, asked: Resumption) -> Response:
    """Give a waiting run the input that it waits for."""
    run = acts.resume(
        services().database,
        _act(run_id, "resume", asked),
        caller().queues,
        value=asked.input,
        input_json=json_text(asked.input),
    )
    return answer(run_body(run))


@run_acts.post("/v1/runs/<run_id>/abort")
@allow(CLIENTS)
@refuses(RunNotFound, RunOver, StateConflict, IdempotencyKeyInvalid, IdempotencyKeyReused)
@repeats(BY_KEY, _BY_KEY)
@takes(IDEMPOTENCY_KEY)
@run_acts.input(Abortion, arg_name="asked")
@run_acts.output(RunView)
def abort(run_id: str, asked: Abortion) -> Response:
    """End a run. A held one goes on until its holder has heard of it."""
    act = _act(run_id, "abort", asked, reason=asked.reason)
    return answer(run_body(acts.abort(services().database, act, caller().queues)))


@run_acts.post("/v1/runs/<run_id>/retry")
@allow(CLIENTS)
@refuses(
    RunNotFound,
    RunOver,
    StateConflict,
    RunAlreadyActive,
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
)
@repeats(BY_KEY, _BY_KEY)
@takes(IDEMPOTENCY_KEY)
@run_acts.input(NoMembers, arg_name="asked")
@run_acts.output(RunView)
def retry(run_id: str, asked: NoMembers) -> Response:
    """Run a failed or aborted run again from the step that failed, its counters at 0."""
    act = _act(run_id, "retry", asked)
    return answer(run_body(acts.retry(services().database, act, caller().queues)))


@run_acts.post("/v1/runs/<run_id>/resolve")
@allow(OPERATORS)
@refuses(RunNotFound, RunOver, StateConflict, IdempotencyKeyInvalid, IdempotencyKeyReused)
@repeats(BY_KEY, _BY_KEY)
@takes(IDEMPOTENCY_KEY)
@run_acts.input(Resolution, arg_name="asked")
@run_acts.output(RunView)
def resolve(run_id: str, asked: Resolution) -> Response:
    """Say what became of a mutating step whose outcome is unknown."""
    run = acts.resolve(
        services().database,
        _act(run_id, "resolve", asked),
        caller().queues,
        as_=asked.as_,
        output_json=json_text(asked.output),
        next_step=asked.next,
    )
    return answer(run_body(run))


def _act(run_id: str, name: str, asked: Body, *, reason: str | None = None) -> Act:
    key = idempotency_key()
    return Act(
        run_id=run_id_of(run_id),
        actor=caller().name,
        request_id=request_id(),
        idempotency_key=key,
        reason=reason,
        body_hash=None if key is None else body_hash(name, asked.model_dump(mode="json")),
        key_id=caller().key_id,
    )

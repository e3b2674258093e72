"""What the executor sends is accepted, and what it is answered it can read."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import pytest

from executor import AwaitInput, Later, OutcomeUnknown, StepError, Success
from executor.client import Identity, Orchestrator
from executor.execution import Cancellation
from executor.leases import HeldLease
from executor.reporter import report_text
from executor.transport import RefusedError
from executor.verdict import outcome_of, timed_out
from executor.wire import Dispatch, Reported
from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.stage import Stage


@dataclass(frozen=True)
class Speaker:
    """The executor's own client, against the real orchestrator."""

    orchestrator: Orchestrator
    queue: str

    def claim(self, limit: int = 1) -> list[Dispatch]:
        claimed = self.orchestrator.claim(
            request_id=str(uuid4()),
            queues=[self.queue],
            limit=limit,
            lease_seconds=30,
            wait_seconds=0,
        )
        return list(claimed.dispatches)

    def report(self, dispatch: Dispatch, outcome: dict[str, Any]) -> Reported:
        lease = HeldLease(dispatch.lease.id, dispatch.run.id, dispatch.lease.seconds, deadline=0.0)
        text = report_text(lease, dispatch.step.index, outcome)
        return self.orchestrator.report([text], chain=True, request_id=str(uuid4()))


@pytest.fixture
def speaker(stage: Stage, queue: str) -> Iterator[Speaker]:
    identity = Identity(stage.tokens[Role.EXECUTOR], "one", str(uuid4()))
    orchestrator = Orchestrator(stage.orchestrator.url, identity, httpx2.create_ssl_context())
    with closing(orchestrator):
        yield Speaker(orchestrator, queue)


def test_the_executor_registers_and_withdraws(speaker: Speaker, ops: Client, queue: str) -> None:
    facts = {
        "version": "0.1.0",
        "slots": 8,
        "queues": [queue],
        "stepTypes": ["record"],
        "url": "http://127.0.0.1:3400",
    }

    speaker.orchestrator.register(facts, request_id="r-1")
    registered = ops.ask("GET", "/v1/executors")["items"]
    speaker.orchestrator.register({**facts, "draining": True}, request_id="r-2")

    assert [queue] in [one["queues"] for one in registered]


def test_the_executor_reads_a_dispatch(speaker: Speaker, web: Client, queue: str) -> None:
    run_id = web.create(queue, input={"orderId": 7}, priority=3)

    (dispatch,) = speaker.claim()

    run = web.run(run_id)
    assert (dispatch.run.id, dispatch.run.workflow) == (run_id, "record")
    assert (dispatch.run.queue, dispatch.run.priority, dispatch.run.attempt) == (queue, 3, 1)
    assert dispatch.run.created_at == datetime.fromisoformat(run["createdAt"])
    assert (dispatch.step.index, dispatch.step.name) == (0, "record")
    assert dispatch.step.input == {"orderId": 7}
    assert dispatch.step.idempotency_key == f"{run_id}:0"
    assert (dispatch.lease.fence, dispatch.lease.seconds) == (run["fence"], 30)


def test_the_executor_claims_by_id_for_a_caller_and_reads_the_refusals(
    speaker: Speaker, stage: Stage, web: Client, queue: str
) -> None:
    run_id = web.create(queue)

    def claim() -> Dispatch:
        return speaker.orchestrator.claim_run(
            run_id,
            request_id=str(uuid4()),
            lease_seconds=30,
            caller_token=stage.tokens[Role.CLIENT],
            pending_data={},
        )

    dispatch = claim()
    with pytest.raises(RefusedError) as held:
        claim()
    speaker.report(dispatch, {"status": "success", "output": None})
    with pytest.raises(RefusedError) as over:
        claim()

    assert dispatch.run.id == run_id
    assert (held.value.status, held.value.code) == (409, "run-held")
    assert held.value.retry_after_seconds is not None
    assert (over.value.status, over.value.code) == (410, "run-over")


def test_the_executor_renews_releases_and_starts_steps(
    speaker: Speaker, web: Client, queue: str
) -> None:
    web.create_many(queue, 2)
    first, second = speaker.claim(limit=2)
    names = [{"leaseId": one.lease.id, "runId": one.run.id} for one in (first, second)]
    named: list[dict[str, Any]] = [
        {**names[0], "progress": orjson.Fragment(b'{"percent":50}')},
        names[1],
    ]
    web.ask("POST", f"/v1/runs/{second.run.id}/abort", {})

    renewed = speaker.orchestrator.renew(
        named, claiming=[str(uuid4())], as_of=None, request_id="r-1"
    )
    again = speaker.orchestrator.renew(
        named, claiming=[], as_of=renewed.server_time, request_id="r-2"
    )
    speaker.orchestrator.start_step(first.run.id, 0, first.lease.id, request_id="r-3")
    speaker.report(first, {"status": "success", "output": {}})
    released = speaker.orchestrator.release(names, "draining", request_id="r-4")

    assert {one.lease_id for one in renewed.renewed} == {first.lease.id, second.lease.id}
    kinds = {
        event["kind"]: event["requestId"]
        for event in web.ask("GET", f"/v1/runs/{first.run.id}/events")["items"]
    }
    # The executor's own ids, so that its log and the ledger can be read together.
    assert (kinds["started"], kinds["step-started"]) == ("r-1", "r-3")
    assert not renewed.orphans_kept
    assert (renewed.lost, renewed.abort, renewed.released) == ((), (second.lease.id,), ())
    assert datetime.fromisoformat(again.server_time) >= datetime.fromisoformat(renewed.server_time)
    assert (released.released, released.lost) == ((second.run.id,), (first.lease.id,))
    assert web.run(second.run.id)["runState"] == "aborted"


SOON = datetime.now(UTC) + timedelta(days=1)


@pytest.mark.parametrize(
    ("result", "raised", "mutating", "state"),
    [
        ({"done": True}, None, False, "finished"),
        (None, None, False, "finished"),
        (Success("text"), None, False, "finished"),
        (float("nan"), None, False, "failed"),
        (None, ValueError("lone \ud800, NUL \x00"), False, "scheduled"),
        (None, StepError("final", retryable=False), False, "failed"),
        (None, StepError("x" * 10_000), False, "scheduled"),
        (None, StepError(""), False, "scheduled"),
        (None, AwaitInput({"type": "object"}), False, "waiting"),
        (None, AwaitInput({}, timeout_seconds=60, on_timeout="fail"), False, "waiting"),
        (None, Later(SOON), False, "scheduled"),
        (None, OutcomeUnknown("who knows"), True, "waiting"),
        (None, ValueError("no"), True, "failed"),
        (None, StepError("nothing happened", retryable=True), True, "scheduled"),
        (float("nan"), None, True, "waiting"),
    ],
)
def test_the_orchestrator_takes_every_outcome_that_the_executor_makes(
    speaker: Speaker,
    web: Client,
    queue: str,
    result: Any,
    raised: BaseException | None,
    mutating: bool,
    state: str,
) -> None:
    run_id = web.create(queue)
    (dispatch,) = speaker.claim()
    if mutating:
        speaker.orchestrator.start_step(run_id, 0, dispatch.lease.id, request_id="r-3")
    outcome = outcome_of(result, raised, None, mutating=mutating)
    assert outcome is not None

    reported = speaker.report(dispatch, outcome)

    assert (reported.results[0].status, reported.results[0].problem) == (state, None)
    assert web.run(run_id)["runState"] == state


@pytest.mark.parametrize("mutating", [False, True])
@pytest.mark.parametrize("cause", [Cancellation.ABORT, Cancellation.TIMEOUT])
def test_the_orchestrator_takes_the_outcome_of_a_step_that_was_stopped(
    speaker: Speaker, web: Client, queue: str, cause: Cancellation, mutating: bool
) -> None:
    run_id = web.create(queue)
    (dispatch,) = speaker.claim()
    if mutating:
        speaker.orchestrator.start_step(run_id, 0, dispatch.lease.id, request_id="r-3")
    outcome = (
        timed_out(1.5, mutating=mutating)
        if cause is Cancellation.TIMEOUT
        else outcome_of(None, RuntimeError("stopped"), cause, mutating=mutating)
    )
    assert outcome is not None

    (result,) = speaker.report(dispatch, outcome).results

    assert result.problem is None
    assert result.status == web.run(run_id)["runState"]
    assert (result.status == "waiting") == mutating


def test_the_executor_reads_a_refused_report(speaker: Speaker, web: Client, queue: str) -> None:
    web.create(queue)
    (dispatch,) = speaker.claim()
    speaker.report(dispatch, {"status": "success", "output": 1})

    (result,) = speaker.report(dispatch, {"status": "success", "output": 2}).results

    assert result.status == "refused"
    assert result.problem is not None
    assert (result.problem.status, result.problem.code) == (409, "outcome-conflict")


def test_the_executor_asks_who_a_caller_is(speaker: Speaker, stage: Stage) -> None:
    caller = speaker.orchestrator.whoami(stage.tokens[Role.CLIENT])
    with pytest.raises(RefusedError) as refused:
        speaker.orchestrator.whoami("dibs_0123456789abcdef_nobody")

    assert (caller.name, caller.role, caller.queues) == ("client", "client", ("*",))
    assert (refused.value.status, refused.value.blames_caller) == (401, True)


def test_the_executor_is_told_when_its_own_token_is_bad(stage: Stage) -> None:
    identity = Identity("dibs_0123456789abcdef_nobody", "one", str(uuid4()))
    orchestrator = Orchestrator(stage.orchestrator.url, identity, httpx2.create_ssl_context())
    with closing(orchestrator), pytest.raises(RefusedError) as refused:
        orchestrator.whoami(stage.tokens[Role.CLIENT])

    assert (refused.value.status, refused.value.blames_caller) == (401, False)

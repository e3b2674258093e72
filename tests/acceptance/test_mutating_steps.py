"""Mutating steps and a real system downstream: nothing happens there twice by itself."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.client import Client, Json, outcome_of
from tests.acceptance.downstream import DOWNSTREAM, Downstream, downstream_system
from tests.acceptance.journal import Gates, Journal
from tests.acceptance.processes import Executor
from tests.acceptance.relay import Relay
from tests.acceptance.stage import Fleet
from tests.acceptance.waiting import eventually

Start = Callable[..., Executor]


@pytest.fixture
def downstream() -> Iterator[Downstream]:
    with downstream_system() as downstream:
        yield downstream


@pytest.fixture
def start(fleet: Fleet, downstream: Downstream) -> Start:
    """Starts executors that know the system downstream."""

    def start(name: str, **options: object) -> Executor:
        return fleet.start(name, **{DOWNSTREAM: downstream.url, **options})

    return start


def wait_until_parked(web: Client, run_id: str) -> Json:
    """Wait for a run to wait for somebody who says what became of its step."""
    run = web.wait_for(run_id, "waiting")
    assert run["waitingFor"]["reason"] == "outcome-unknown"
    assert run["mutatingSince"] is None
    return run


def wait_for_effect(downstream: Downstream, run_id: str) -> None:
    eventually(lambda: downstream.effects_of(run_id), what=f"an effect of {run_id}")


def resolve(ops: Client, run_id: str, as_: str, **members: Any) -> Json:
    return ops.ask("POST", f"/v1/runs/{run_id}/resolve", {"as": as_, **members})


def shown(web: Client, run_id: str) -> list[Json]:
    """Everything that is shown of a run: itself, its steps, its events."""
    return [web.ask("GET", f"/v1/runs/{run_id}{part}") for part in ("", "/steps", "/events")]


def steps_of(web: Client, run_id: str) -> list[tuple[int, str]]:
    items: list[Json] = web.ask("GET", f"/v1/runs/{run_id}/steps")["items"]
    return [(step["stepIndex"], step["state"]) for step in items]


def test_killed_before_the_mark_the_step_runs_again_by_itself(
    start: Start, web: Client, queue: str, journal: Journal, gates: Gates, downstream: Downstream
) -> None:
    run_id = web.create(queue, "pay", input={"before": "mark"})
    doomed = start("one")
    # A heartbeat has named it: the executor has it, and has marked nothing.
    held = web.wait_for(run_id, "started")

    doomed.kill()
    gates.open("mark-two")
    start("two")

    run = web.wait_for(run_id)
    assert held["mutatingSince"] is None
    assert (run["runState"], run["output"]) == ("finished", {"by": "two"})
    assert (run["stepIndex"], run["attempt"], run["crashes"]) == (0, 2, 1)
    assert web.kinds(run_id).count("step-started") == 1
    assert journal.executions() == {run_id: 1}
    assert downstream.effects_of(run_id) == {f"{run_id}:0": 1}


def test_killed_between_mark_and_effect_the_step_runs_again_only_when_told_under_a_new_key(
    start: Start,
    web: Client,
    ops: Client,
    queue: str,
    journal: Journal,
    gates: Gates,
    downstream: Downstream,
) -> None:
    run_id = web.create(queue, "pay", input={"before": "effect"})
    doomed = start("one")
    journal.wait_for(run_id)

    doomed.kill()
    gates.open("effect-two")
    start("two")
    parked = wait_until_parked(web, run_id)
    effects_while_parked = downstream.effects_of(run_id)
    resolve(ops, run_id, "run-again")

    run = web.wait_for(run_id)
    assert (parked["stepIndex"], parked["crashes"]) == (0, 1)
    assert effects_while_parked == {}
    assert (run["runState"], run["stepIndex"], run["output"]) == ("finished", 1, {"by": "two"})
    assert steps_of(web, run_id) == [(0, "unknown"), (1, "finished")]
    assert [one.executor for one in journal.entries()] == ["one", "two"]
    assert downstream.effects_of(run_id) == {f"{run_id}:1": 1}


def test_killed_between_effect_and_report_the_run_is_finished_by_who_says_that_it_is_done(
    start: Start, web: Client, ops: Client, queue: str, journal: Journal, downstream: Downstream
) -> None:
    run_id = web.create(queue, "pay", input={"before": "return"})
    doomed = start("one")
    wait_for_effect(downstream, run_id)

    doomed.kill()
    start("two")
    wait_until_parked(web, run_id)
    resolve(ops, run_id, "done", output={"receipt": 7})

    run = web.wait_for(run_id)
    assert (run["runState"], run["output"]) == ("finished", {"receipt": 7})
    assert steps_of(web, run_id) == [(0, "finished")]
    assert journal.executions() == {run_id: 1}
    assert downstream.effects_of(run_id) == {f"{run_id}:0": 1}


def test_what_a_draining_executor_cannot_finish_of_begun_steps_is_parked_as_it_is_released(
    start: Start, web: Client, queue: str, journal: Journal, downstream: Downstream
) -> None:
    before_effect = web.create(queue, "pay", input={"before": "effect"})
    after_effect = web.create(queue, "pay", input={"before": "return", "stubborn": True})
    executor = start("one", slots=2, lease_seconds=60, EXECUTOR_STOP_TIMEOUT_S="1")
    journal.wait_for(before_effect)
    wait_for_effect(downstream, after_effect)

    executor.ask_to_end()

    assert executor.wait_for_exit() == 0
    for run_id in (before_effect, after_effect):
        run = wait_until_parked(web, run_id)
        released = web.events(run_id)[-1]
        assert (released["kind"], released["toState"]) == ("released", "waiting")
        assert released["detail"]["reason"] == "draining"
        assert run["crashes"] == 0
        assert steps_of(web, run_id) == [(0, "unknown")]
    assert downstream.effects_of(before_effect) == {}
    assert downstream.effects_of(after_effect) == {f"{after_effect}:0": 1}


def test_a_begun_step_whose_time_is_up_is_parked_and_what_it_says_later_is_not_written(
    start: Start,
    web: Client,
    ops: Client,
    queue: str,
    gates: Gates,
    downstream: Downstream,
) -> None:
    step = {"name": "pay", "type": "pay", "mutating": True, "timeoutSeconds": 1}
    ops.ask("PUT", f"/v1/workflows/{queue}", {"steps": [step]})
    obedient = web.create(queue, queue, input={"before": "effect"})
    stubborn = web.create(queue, queue, input={"before": "return", "stubborn": True})

    executor = start("one", slots=2)

    for run_id in (obedient, stubborn):
        parked = wait_until_parked(web, run_id)
        assert parked["waitingFor"]["message"] == "timed out after 1 s"
        assert web.kinds(run_id)[-1] == "reported"
        assert (parked["crashes"], parked["failures"]) == (0, 0)
        assert steps_of(web, run_id) == [(0, "unknown")]
    wait_for_effect(downstream, stubborn)
    before = shown(web, stubborn)
    gates.open("return-one")
    eventually(lambda: executor.health()["inFlight"] == 0, what="the stubborn one has returned")
    assert [one["run_id"] for one in executor.said("late_result_not_written")] == [stubborn]
    assert shown(web, stubborn) == before
    assert downstream.effects_of(obedient) == {}
    assert downstream.effects_of(stubborn) == {f"{stubborn}:0": 1}


def test_a_begun_step_that_is_aborted_is_parked_with_the_request_until_somebody_gives_it_up(
    start: Start, web: Client, ops: Client, queue: str, journal: Journal, downstream: Downstream
) -> None:
    run_id = web.create(queue, "pay", input={"before": "return"})
    start("one")
    wait_for_effect(downstream, run_id)

    web.ask("POST", f"/v1/runs/{run_id}/abort", {"reason": "enough"})
    parked = wait_until_parked(web, run_id)
    resolve(ops, run_id, "abort")

    run = web.wait_for(run_id)
    assert parked["abortRequestedAt"] is not None
    assert parked["waitingFor"]["message"] == "stopped: abort-requested"
    assert (run["runState"], run["output"]) == ("aborted", None)
    assert journal.executions() == {run_id: 1}
    assert downstream.effects_of(run_id) == {f"{run_id}:0": 1}


def test_a_paused_process_that_wakes_after_run_again_is_refused_downstream_and_its_report_too(
    start: Start,
    relay: Relay,
    web: Client,
    ops: Client,
    holder: Client,
    queue: str,
    journal: Journal,
    gates: Gates,
    downstream: Downstream,
) -> None:
    run_id = web.create(queue, "pay", input={"before": "effect", "stubborn": True})
    paused = start("one", lease_seconds=120, url=relay.url)
    journal.wait_for(run_id)
    start("two")
    # No heartbeat tells it that its lease is gone before its handler goes on.
    let_go = relay.hold_back_answers("/v1/leases/renew")

    paused.pause()
    # Whoever starts it anew takes it for dead.
    replacement = {"session": str(uuid4()), "replaces": "others"}
    replaced = holder.ask("PUT", "/v1/executors/one", replacement)
    wait_until_parked(web, run_id)
    gates.open("effect-two")
    resolve(ops, run_id, "run-again")
    run = web.wait_for(run_id)
    before = shown(web, run_id)
    gates.open("effect-one")
    paused.go_on()
    eventually(lambda: paused.health()["inFlight"] == 0, what="the paused one has let go")
    let_go.set()

    assert run_id in replaced["released"]
    assert (run["runState"], run["output"]) == ("finished", {"by": "two"})
    earlier, later = journal.entries()
    assert earlier.fence < later.fence
    assert [one.fence for one in downstream.refused] == [earlier.fence]
    assert downstream.effects_of(run_id) == {f"{run_id}:1": 1}
    (report,) = relay.requests("/v1/reports")
    (result,) = report.answer["results"]
    assert (result["status"], result["problem"]["code"]) == ("refused", "lease-lost")
    assert shown(web, run_id) == before


def test_nothing_but_resolve_moves_a_parked_run(
    start: Start,
    web: Client,
    ops: Client,
    holder: Client,
    queue: str,
    gates: Gates,
    downstream: Downstream,
) -> None:
    run_id = web.create(queue, "pay", input={"before": "return"})
    (begun,) = holder.claim(queue)
    named = {"session": str(uuid4()), "leaseId": begun["lease"]["id"]}
    holder.ask("POST", f"/v1/runs/{run_id}/steps/0/start", named)
    holder.report(outcome_of(begun, {"status": "unknown", "message": "it hung up"}))
    wait_until_parked(web, run_id)
    before = shown(web, run_id)
    caller = start("one").caller()

    claim = {"session": str(uuid4()), "leaseSeconds": 30}
    claims = [
        holder.send(
            "POST", f"/v1/runs/{run_id}/claim", {**claim, "requestId": str(uuid4()), **members}
        )
        for members in ({}, {"input": {"before": "return"}})
    ]
    triggers = [
        caller.trigger(run_id),
        caller.trigger(run_id, {"pendingData": {"before": "return"}}),
    ]
    acts = [
        web.send("POST", f"/v1/runs/{run_id}/resume", {"input": {}}),
        web.send("POST", f"/v1/runs/{run_id}/abort", {}),
        web.send("POST", f"/v1/runs/{run_id}/retry", {}),
    ]

    assert [(one.status_code, one.json()["code"]) for one in claims] == [
        (409, "run-not-claimable")
    ] * 2
    assert [one.json()["gate"] for one in claims] == ["outcome-unknown"] * 2
    assert [(one.status_code, one.json()["code"]) for one in triggers] == [
        (404, "run_not_claimable")
    ] * 2
    assert [(one.status_code, one.json()["code"]) for one in acts] == [(409, "state-conflict")] * 3
    assert holder.claim(queue) == []
    assert shown(web, run_id) == before
    assert downstream.effects_of(run_id) == {}
    gates.open("return-one")
    resolve(ops, run_id, "run-again")
    assert web.wait_for(run_id)["runState"] == "finished"
    assert downstream.effects_of(run_id) == {f"{run_id}:1": 1}

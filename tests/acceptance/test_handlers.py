"""Whatever a handler does, it costs no lease but its own, and no neighbour."""

import pytest

from tests.acceptance.client import Client
from tests.acceptance.journal import Gates, Journal
from tests.acceptance.stage import LEASE_SECONDS, Fleet
from tests.acceptance.waiting import eventually

TWO_LEASES = 2 * LEASE_SECONDS + 0.5


def test_handlers_that_block_their_loop_or_burn_cpu_for_two_leases_cost_no_lease(
    fleet: Fleet, web: Client, queue: str, journal: Journal
) -> None:
    blocking = web.create_many(queue, 1, "block-loop", input={"seconds": TWO_LEASES})
    burning = web.create_many(queue, 4, "burn", input={"seconds": TWO_LEASES})

    fleet.start("one", slots=8)

    for run_id in (*blocking, *burning):
        run = web.wait_for(run_id)
        assert (run["runState"], run["attempt"], run["crashes"]) == ("finished", 1, 0)
    assert journal.executions() == dict.fromkeys([*blocking, *burning], 1)


def test_a_handler_that_ignores_cancellation_keeps_its_slot_and_writes_nothing(
    fleet: Fleet, web: Client, queue: str, journal: Journal, gates: Gates
) -> None:
    run_id = web.create(queue, "stubborn", input={"gate": "gate"})
    executor = fleet.start("one", slots=1)
    caller = executor.caller()
    journal.wait_for(run_id)
    waiting = web.create(queue)

    web.ask("POST", f"/v1/runs/{run_id}/abort", {"reason": "enough"})
    web.wait_for(run_id, "aborted")
    (named,) = eventually(lambda: caller.ask("GET", "/health")["ignoringCancellation"])

    assert executor.health()["ignoringCancellation"] == []
    assert (named["runId"], named["step"]) == (run_id, "stubborn")
    assert executor.said("handler_ignores_cancellation")[0]["run_id"] == run_id
    assert executor.health()["inFlight"] == 1
    assert caller.ask("GET", f"/runs/{run_id}")["inFlight"] is True
    assert caller.trigger(run_id).json()["code"] == "run_already_in_flight"
    assert web.kinds(waiting) == ["created"]
    gates.open("gate")
    web.wait_for(waiting, "finished")
    assert journal.entries("returned")[0].run_id == run_id
    assert caller.send("GET", f"/runs/{run_id}").status_code == 404
    aborted = web.run(run_id)
    assert (aborted["runState"], aborted["output"]) == ("aborted", None)
    assert "reported" not in web.kinds(run_id)


@pytest.mark.parametrize("how", ["too-large", "nan", "nul", "too-deep"])
def test_an_output_that_does_not_fit_is_its_steps_error_and_holds_up_no_neighbour(
    fleet: Fleet, web: Client, queue: str, how: str
) -> None:
    neighbours = web.create_many(queue, 5)
    run_id = web.create(queue, "unfit", input={"how": how})
    neighbours += web.create_many(queue, 5)

    fleet.start("one", slots=11)

    run = web.wait_for(run_id)
    assert (run["runState"], run["error"]["code"]) == ("failed", "step-failed")
    assert "the output" in run["error"]["message"]
    for neighbour in neighbours:
        assert web.wait_for(neighbour)["runState"] == "finished"


def test_a_mutating_handler_killed_after_its_step_start_parks_its_run_until_it_is_resolved(
    fleet: Fleet, web: Client, ops: Client, queue: str, journal: Journal, gates: Gates
) -> None:
    gate = {"gate": "gate", "each": True}
    run_ids = web.create_many(queue, 3, "charge", input=gate)
    executor = fleet.start("one", slots=3)
    journal.wait_for(*run_ids)
    executor.kill()
    done, again, aborted = run_ids

    for run_id in run_ids:
        parked = web.wait_for(run_id, "waiting")
        assert parked["waitingFor"]["reason"] == "outcome-unknown"
    gates.open("gate-two")
    other = fleet.start("two")
    refused = other.caller().trigger(done)
    ops.ask("POST", f"/v1/runs/{done}/resolve", {"as": "done", "output": {"charged": True}})
    ops.ask("POST", f"/v1/runs/{again}/resolve", {"as": "run-again"})
    ops.ask("POST", f"/v1/runs/{aborted}/resolve", {"as": "abort"})

    assert (refused.status_code, refused.json()["code"]) == (404, "run_not_claimable")
    finished = web.wait_for(done)
    assert (finished["runState"], finished["output"]) == ("finished", {"charged": True})
    finished = web.wait_for(again)
    assert (finished["runState"], finished["output"]) == ("finished", {"by": "two"})
    assert web.wait_for(aborted)["runState"] == "aborted"
    assert journal.executions() == {done: 1, again: 2, aborted: 1}
    keys = [entry.idempotency_key for entry in journal.entries() if entry.run_id == again]
    assert keys == [f"{again}:0", f"{again}:1"]

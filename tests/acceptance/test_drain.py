"""SIGTERM to an executor: finish what can be finished, give back the rest, take nothing new."""

from datetime import datetime, timedelta

from tests.acceptance.client import Client
from tests.acceptance.journal import Gates, Journal
from tests.acceptance.stage import LEASE_SECONDS, Fleet
from tests.acceptance.waiting import eventually


def test_a_draining_executor_finishes_what_runs_while_renewing_it_and_claims_nothing_new(
    fleet: Fleet, web: Client, queue: str, journal: Journal, gates: Gates
) -> None:
    run_id = web.create(queue, "hold", input={"gate": "gate"})
    executor = fleet.start("one", slots=1, EXECUTOR_STOP_TIMEOUT_S="20")
    journal.wait_for(run_id)
    leased_until = datetime.fromisoformat(web.run(run_id)["leaseExpiresAt"])

    executor.ask_to_end()
    eventually(lambda: executor.said("draining"))
    new = web.create_many(queue, 3)
    more_than_a_lease_later = leased_until + timedelta(seconds=LEASE_SECONDS)
    eventually(
        lambda: datetime.fromisoformat(web.run(run_id)["leaseExpiresAt"]) > more_than_a_lease_later,
        what="renewed while draining",
    )
    assert executor.health()["status"] == "draining"
    gates.open("gate")

    assert executor.wait_for_exit() == 0
    run = web.run(run_id)
    assert (run["runState"], run["attempt"]) == ("finished", 1)
    assert [web.kinds(one) for one in new] == [["created"]] * 3


def test_what_a_draining_executor_cannot_finish_is_released_and_picked_up_at_once(
    fleet: Fleet, web: Client, queue: str, journal: Journal, gates: Gates
) -> None:
    gate = {"gate": "gate", "each": True}
    run_ids = [web.create(queue, workflow, input=gate) for workflow in ("hold", "stubborn")]
    executor = fleet.start("one", slots=2, lease_seconds=30, EXECUTOR_STOP_TIMEOUT_S="1")
    journal.wait_for(*run_ids)
    fleet.start("two")
    gates.open("gate-two")

    executor.ask_to_end()

    assert executor.wait_for_exit() == 0
    for run_id in run_ids:
        run = web.wait_for(run_id)
        assert (run["output"], run["attempt"], run["crashes"]) == ({"by": "two"}, 2, 0)
        kinds = web.kinds(run_id)
        released, claimed = web.events(run_id)[kinds.index("released") :][:2]
        assert (released["detail"]["reason"], claimed["kind"]) == ("draining", "claimed")
        waited = datetime.fromisoformat(claimed["at"]) - datetime.fromisoformat(released["at"])
        assert waited <= timedelta(seconds=1)
    assert journal.executions() == dict.fromkeys(run_ids, 2)


def test_a_run_that_comes_to_the_parked_claim_of_a_draining_executor_goes_on_without_its_lease(
    fleet: Fleet, web: Client, queue: str, journal: Journal
) -> None:
    executor = fleet.start("one", lease_seconds=60)
    first = web.create(queue)
    web.wait_for(first, "finished")  # So the next claim is on its way, or parked.

    executor.ask_to_end()
    run_ids = web.create_many(queue, 5)
    fleet.start("two")

    assert executor.wait_for_exit() == 0
    for run_id in run_ids:
        run = web.wait_for(run_id, within_seconds=10)
        assert (run["runState"], run["crashes"]) == ("finished", 0)
    executions = journal.executions()
    assert executions == dict.fromkeys([first, *run_ids], 1)

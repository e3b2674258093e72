"""Executors side by side: every run goes to one of them."""

from tests.acceptance.client import Client
from tests.acceptance.journal import Journal
from tests.acceptance.stage import Fleet

RUNS = 2_000


def test_two_executors_polling_2000_runs_execute_every_run_once_and_leave_none(
    fleet: Fleet, web: Client, queue: str, journal: Journal
) -> None:
    for name in ("one", "two"):
        fleet.start(name, slots=50, lease_seconds=10)

    run_ids = web.create_many(queue, RUNS)

    journal.wait_for(*run_ids)
    for run_id in run_ids[-50:]:
        web.wait_for(run_id, "finished")
    web.wait_until_none(queue, "scheduled", "pending", "loading", "started", "waiting")
    assert journal.executions() == dict.fromkeys(run_ids, 1)
    assert web.count(queue, "finished") == RUNS
    assert {entry.executor for entry in journal.entries()} == {"one", "two"}


def test_an_executor_claims_no_more_than_its_free_slots(
    fleet: Fleet, web: Client, queue: str, journal: Journal
) -> None:
    run_ids = web.create_many(queue, 12, "hold", input={"gate": "gate"})

    fleet.start("one", slots=3)

    journal.wait_for(*run_ids[:3])
    assert web.count(queue, "loading", "started") == 3
    assert web.count(queue, "pending") == 9
    fleet.gates.open("gate")
    for run_id in run_ids:
        web.wait_for(run_id, "finished")
    assert journal.executions() == dict.fromkeys(run_ids, 1)

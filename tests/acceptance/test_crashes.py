"""Executors that die, or are thought to: their runs go on elsewhere."""

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.acceptance.client import Client, Json, outcome_of
from tests.acceptance.journal import Gates, Journal
from tests.acceptance.relay import Relay
from tests.acceptance.stage import LEASE_SECONDS, Fleet
from tests.acceptance.stored import stored
from tests.acceptance.waiting import eventually


def now(owner: psycopg.Connection[Any]) -> datetime:
    """The database's clock."""
    row = owner.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def leases_of(owner: psycopg.Connection[Any], run_id: str) -> list[str]:
    """The ids of a run's leases, oldest first."""
    rows = owner.execute(
        """
        SELECT "leaseId" FROM "runEvents" WHERE "runId" = %s AND kind = 'claimed' ORDER BY seq
        """,
        [run_id],
    ).fetchall()
    return [str(row[0]) for row in rows]


def at(event: Json) -> datetime:
    return datetime.fromisoformat(event["at"])


def test_the_runs_of_a_killed_executor_are_executed_by_the_other_within_lease_and_a_second(
    fleet: Fleet,
    web: Client,
    owner: psycopg.Connection[Any],
    queue: str,
    journal: Journal,
    gates: Gates,
) -> None:
    run_ids = web.create_many(queue, 4, "hold", input={"gate": "gate", "each": True})
    doomed = fleet.start("one")
    journal.wait_for(*run_ids)
    fleet.start("two")
    gates.open("gate-two")

    killed_at = now(owner)
    doomed.kill()

    for run_id in run_ids:
        run = web.wait_for(run_id)
        assert (run["runState"], run["output"], run["crashes"]) == ("finished", {"by": "two"}, 1)
        again = [event for event in web.events(run_id) if event["kind"] == "claimed"][-1]
        assert at(again) - killed_at <= timedelta(seconds=LEASE_SECONDS + 1)
    assert journal.executions() == dict.fromkeys(run_ids, 2)


def test_a_paused_executor_that_comes_back_reports_nothing_and_changes_nothing(
    fleet: Fleet,
    relay: Relay,
    web: Client,
    owner: psycopg.Connection[Any],
    queue: str,
    journal: Journal,
    gates: Gates,
) -> None:
    run_id = web.create(queue, "stubborn", input={"gate": "gate", "each": True})
    paused = fleet.start("one", slots=1, url=relay.url)
    journal.wait_for(run_id)
    fleet.start("two", slots=1)
    gates.open("gate-two")

    paused.pause()
    run = web.wait_for(run_id)
    before = stored(owner, run_id)
    gates.open("gate-one")
    paused.go_on()
    eventually(lambda: paused.health()["inFlight"] == 0, what="the paused one has let go")

    assert (run["runState"], run["output"]) == ("finished", {"by": "two"})
    assert [entry.executor for entry in journal.entries("returned")] == ["two", "one"]
    assert stored(owner, run_id) == before
    assert relay.requests("/v1/reports") == []


@pytest.mark.fault("F24")
def test_an_executor_that_was_cut_off_reports_nothing_under_the_lease_that_it_lost(
    fleet: Fleet,
    relay: Relay,
    web: Client,
    owner: psycopg.Connection[Any],
    queue: str,
    journal: Journal,
    gates: Gates,
) -> None:
    run_id = web.create(queue, "stubborn", input={"gate": "gate", "each": True})
    cut_off = fleet.start("one", slots=1, url=relay.url)
    journal.wait_for(run_id)
    gates.open("gate-two")

    relay.cut()
    gates.open("gate-one")  # Its handler ends in time, but nobody can be told.
    journal.wait_for(run_id, what="returned")
    fleet.start("two", slots=1)
    run = web.wait_for(run_id)
    before = stored(owner, run_id)
    relay.heal()
    eventually(lambda: cut_off.health()["inFlight"] == 0, what="the one cut off has let go")

    assert (run["runState"], run["output"]) == ("finished", {"by": "two"})
    assert relay.requests("/v1/reports") == []
    assert stored(owner, run_id) == before


def test_a_late_report_under_a_lease_that_was_lost_is_refused_and_changes_nothing(
    fleet: Fleet,
    web: Client,
    holder: Client,
    owner: psycopg.Connection[Any],
    queue: str,
) -> None:
    run_id = web.create(queue)
    (late,) = holder.claim(queue, leaseSeconds=2)
    web.wait_for(run_id, "pending")
    fleet.start("two")
    web.wait_for(run_id, "finished")
    before = stored(owner, run_id)

    results = holder.report(
        outcome_of(late, {"status": "success", "output": "late"}),
        outcome_of(late, {"status": "error", "message": "late"}),
        outcome_of(late, {"status": "awaiting-input", "waitingFor": {"schema": {}}}),
    )

    assert [(one["status"], one["problem"]["code"]) for one in results] == [
        ("refused", "lease-lost")
    ] * 3
    assert stored(owner, run_id) == before


def test_a_fence_tells_downstream_which_executor_came_later(
    fleet: Fleet, web: Client, queue: str, journal: Journal, gates: Gates
) -> None:
    run_id = web.create(queue, "hold", input={"gate": "gate", "each": True})
    first = fleet.start("one")
    journal.wait_for(run_id)
    first.kill()
    gates.open("gate-two")
    fleet.start("two")
    web.wait_for(run_id, "finished")

    earlier, later = journal.entries()

    assert earlier.fence < later.fence
    assert earlier.idempotency_key == later.idempotency_key == f"{run_id}:0"


def test_a_poison_run_fails_after_its_crashes_and_the_others_go_on(
    fleet: Fleet, web: Client, owner: psycopg.Connection[Any], queue: str, journal: Journal
) -> None:
    poison = web.create(queue, "poison", maxCrashes=2)
    others = web.create_many(queue, 20, "brief", input={"seconds": 0.05}, maxCrashes=10)
    executor = fleet.add("one")

    def over_or_restarted() -> bool:
        if executor.has_ended():
            executor.launch()
        return bool(web.run(poison)["runState"] == "failed")

    eventually(over_or_restarted)

    run = web.run(poison)
    assert run["error"]["code"] == "crashed-too-often"
    assert (run["crashes"], len(leases_of(owner, poison))) == (2, 2)
    assert journal.executions()[poison] == 2
    for run_id in others:
        web.wait_for(run_id, "finished")

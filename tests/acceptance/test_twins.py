"""Two processes with one token and one name: neither touches what the other holds."""

from datetime import datetime, timedelta

import pytest

from tests.acceptance.client import Client
from tests.acceptance.journal import Gates, Journal
from tests.acceptance.relay import Relay
from tests.acceptance.stage import Fleet
from tests.acceptance.waiting import eventually

# Far longer than any test: nothing comes back because it expired.
LONG_LEASE_SECONDS = 600


@pytest.mark.fault("F48", "F49")
def test_twins_keep_each_its_own_work(
    fleet: Fleet, relay: Relay, web: Client, queue: str, journal: Journal, gates: Gates
) -> None:
    run_ids = web.create_many(queue, 4, "hold", input={"gate": "gate"})
    fleet.start("one", slots=2)
    eventually(lambda: len(journal.executions()) == 2, what="the first executes two")
    fleet.start("twin", slots=2, url=relay.url, EXECUTOR_NAME="one")
    journal.wait_for(*run_ids)

    def twin_has_reconciled() -> bool:
        asked = [one.body for one in relay.requests("/v1/leases/renew") if one.body["asOf"]]
        return len(asked) >= 3

    eventually(twin_has_reconciled, what="three heartbeats that may free orphans")
    gates.open("gate")

    for run_id in run_ids:
        assert web.wait_for(run_id)["attempt"] == 1
        assert not {"orphaned", "expired", "released"} & set(web.kinds(run_id))
    assert journal.executions() == dict.fromkeys(run_ids, 1)


@pytest.mark.fault("F48")
def test_a_successor_that_replaces_the_others_gets_their_work_at_once(
    fleet: Fleet, web: Client, queue: str, journal: Journal, gates: Gates
) -> None:
    run_ids = web.create_many(queue, 2, "hold", input={"gate": "gate", "each": True})
    predecessor = fleet.start("one", slots=2, lease_seconds=LONG_LEASE_SECONDS)
    journal.wait_for(*run_ids)
    predecessor.kill()
    gates.open("gate-one")

    fleet.start(
        "successor",
        lease_seconds=LONG_LEASE_SECONDS,
        EXECUTOR_NAME="one",
        EXECUTOR_REPLACES="others",
    )

    for run_id in run_ids:
        run = web.wait_for(run_id)
        assert (run["runState"], run["attempt"], run["crashes"]) == ("finished", 2, 1)
        replaced = next(one for one in web.events(run_id) if one["kind"] == "replaced")
        again = [one for one in web.events(run_id) if one["kind"] == "claimed"][-1]
        waited = datetime.fromisoformat(again["at"]) - datetime.fromisoformat(replaced["at"])
        assert waited < timedelta(seconds=5)
    assert journal.executions() == dict.fromkeys(run_ids, 2)

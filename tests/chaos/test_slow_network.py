"""A network that takes its time: as long as a heartbeat comes through, nobody loses a lease."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.stage import Fleet
from tests.acceptance.waiting import eventually
from tests.chaos.fates import EVERY_ROUTE, Rates
from tests.chaos.fault import Fault
from tests.chaos.network import network_to
from tests.chaos.size import sized
from tests.chaos.three_steps import kinds
from tests.ledger import check_ledgers

LEASE_SECONDS = sized(3, 7)
# A heartbeat comes every third of a lease.
SLOW = Rates(delayed=1.0, shortest_delay_seconds=0.2, longest_delay_seconds=sized(0.8, 2.0))
EXECUTORS = ("one", "two")
SLOTS = sized(10, 50)
HELD_SECONDS = sized(3, 10) * LEASE_SECONDS


@pytest.mark.fault("F28")
def test_on_a_slow_network_nobody_loses_a_lease(
    seed: int, fault: Fault, fleet: Fleet, owner: psycopg.Connection[Any], tmp_path: Path
) -> None:
    runs = SLOTS * len(EXECUTORS)
    upstream = fleet.stage.orchestrator.url
    with (
        network_to(upstream, seed=seed, rates={EVERY_ROUTE: SLOW}, directory=tmp_path) as network,
        closing(fleet.stage.client()) as web,
    ):
        for name in EXECUTORS:
            fleet.start(name, slots=SLOTS, lease_seconds=LEASE_SECONDS, url=network.url)
        run_ids = web.create_many(fleet.queue, runs, "hold", input={"gate": "gate"})
        fleet.journal.wait_for(*run_ids)
        time.sleep(HELD_SECONDS)
        fleet.gates.open("gate")
        eventually(lambda: not web.count(fleet.queue, "loading", "started"), what="all are over")
        exchanges = network.history.exchanges()

    fault.injected(len(exchanges))
    fault.core(runs=runs, answered_500=sum(one.status == 500 for one in exchanges))
    fault.note(f"every request delayed by 0.2 to {SLOW.longest_delay_seconds} s")
    assert kinds(owner) == {"created": runs, "claimed": runs, "reported": runs}
    assert fleet.journal.executions() == dict.fromkeys(run_ids, 1)
    check_ledgers(owner, network.history.path)

"""Answers are lost, requests come twice, late, cut off and out of order: nobody notices."""

import sys
import time
from collections import Counter
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
from tests.chaos.three_steps import (
    STEPS,
    by_route,
    create,
    define,
    finished,
    kinds,
    lost_share,
    refusals,
    steps_of,
    stored_results,
    summary,
)
from tests.ledger import check_ledgers

LEASE_SECONDS = 600
WITHIN_SECONDS = 60.0


@pytest.mark.parametrize(
    ("runs", "rates"),
    [
        pytest.param(sized(600, 10_000), Rates(lost=0.3, doubled=0.1), id="lost-and-doubled"),
        pytest.param(
            400,
            Rates(lost=0.1, doubled=0.1, cut=0.1, delayed=0.3, overtaken=0.2),
            id="all-that-can-go-wrong",
        ),
    ],
)
@pytest.mark.fault("F8", "F10", "F11", "F27")
def test_on_a_bad_network_every_step_is_executed_once_and_its_result_stored_once(
    runs: int,
    rates: Rates,
    seed: int,
    fault: Fault,
    fleet: Fleet,
    owner: psycopg.Connection[Any],
    tmp_path: Path,
) -> None:
    upstream = fleet.stage.orchestrator.url
    with network_to(upstream, seed=seed, rates={EVERY_ROUTE: rates}, directory=tmp_path) as network:
        began_at = time.monotonic()
        define(network, fleet.stage)
        for name in ("one", "two"):
            fleet.start(name, slots=32, lease_seconds=LEASE_SECONDS, url=network.url)
        run_ids = create(network, fleet.stage, fleet.queue, runs)
        eventually(lambda: finished(owner) == runs, within_seconds=sized(2, 10) * WITHIN_SECONDS)
        took_seconds = time.monotonic() - began_at
        exchanges = network.history.exchanges()
    sys.stdout.write(f"{runs} runs took {took_seconds:.1f} s\n{summary(exchanges)}\n")

    fault.injected(sum(one.status is None for one in exchanges))
    assert len(set(run_ids)) == runs
    executed = Counter(entry.idempotency_key for entry in fleet.journal.entries())
    assert executed == dict.fromkeys(steps_of(run_ids), 1)
    assert stored_results(owner) == steps_of(run_ids)
    assert kinds(owner) == {"created": runs, "claimed": runs, "reported": runs * len(STEPS)}
    assert refusals(exchanges) == []
    check_ledgers(owner, network.history.path)
    for route in ("POST /v1/claims", "POST /v1/reports"):
        assert lost_share(by_route(exchanges)[route]) > rates.lost / 2
    assert took_seconds < sized(1, 5) * WITHIN_SECONDS
    fault.core(runs=runs, answered_500=sum(one.status == 500 for one in exchanges))

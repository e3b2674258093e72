"""Everything is killed, at any time and all at once: what was acknowledged is there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from orchestrator.dev.embedded import EmbeddedPostgres
from tests.chaos.building import site_on
from tests.chaos.fault import Fault
from tests.chaos.size import sized
from tests.chaos.storming import Pace, storm, write_down
from tests.chaos.strikes import (
    Strike,
    crash_postgres,
    kill_backend,
    kill_executor,
    kill_orchestrators,
    kill_worker,
)
from tests.database import Template

# What a long session has tests of its own for.
ALSO = sized(("F13", "F14", "F16", "F17"), ())
RUNS = sized(300, 10_000)
EXECUTORS = sized(4, 16)
LEASE_SECONDS = 3
BLOWS: dict[Strike, int] = {
    kill_executor: sized(4, 100),
    kill_worker: sized(2, 50),
    kill_backend: sized(2, 40),
    kill_orchestrators: sized(1, 15),
    crash_postgres: sized(2, 20),
}


@pytest.mark.fault("storm", *ALSO)
def test_in_a_storm_of_kills_nothing_that_was_acknowledged_is_lost_and_nothing_happens_twice(
    durable_postgres: EmbeddedPostgres,
    durable_template: Template,
    tmp_path: Path,
    chance: random.Random,
    seed: int,
    fault: Fault,
) -> None:
    strikes = [strike for strike, times in BLOWS.items() for _ in range(times)]
    chance.shuffle(strikes)
    with site_on(
        durable_postgres,
        durable_template,
        tmp_path,
        seed=seed,
        executors=EXECUTORS,
        lease_seconds=LEASE_SECONDS,
    ) as site:
        struck = storm(site, chance, strikes, Pace(RUNS, longest_rest_seconds=1.0, overlap=0.3))
        write_down(site, struck, fault)

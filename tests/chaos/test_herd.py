"""All pollers come back at the same moment: they are answered, and nobody is kept waiting."""

from __future__ import annotations

import random
import time
from contextlib import closing

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.stage import Stage
from tests.acceptance.waiting import eventually
from tests.chaos.fault import Fault
from tests.chaos.herd import herd_of
from tests.chaos.size import sized

QUEUE = "herd"
POLLERS = sized(200, 1_000)
RUNS = 2 * POLLERS
OUTAGES = sized(1, 5)
OUTAGE_SECONDS = 3.0
STEADY_SECONDS = 30.0
LONGEST_ANSWER_SECONDS = 5.0


@pytest.mark.fault("F50")
def test_a_herd_that_comes_back_after_an_outage_is_soon_served_as_before(
    stage: Stage, chance: random.Random, fault: Fault
) -> None:
    with (
        herd_of(
            POLLERS,
            url=stage.orchestrator.url,
            token=stage.tokens[Role.EXECUTOR],
            queue=QUEUE,
            chance=chance,
        ) as herd,
        closing(stage.client()) as web,
    ):
        began_at = time.monotonic()
        eventually(lambda: herd.answered_since(began_at) == POLLERS, what="all poll")
        slowest = 0.0
        for _ in range(OUTAGES):
            stage.orchestrator.kill()
            time.sleep(OUTAGE_SECONDS)
            stage.orchestrator.start()
            back_at = time.monotonic()
            while herd.answered_since(back_at) < POLLERS:
                asked_at = time.monotonic()
                assert asked_at < back_at + 2 * STEADY_SECONDS, herd.statuses
                web.ask("GET", "/v1/whoami")
                slowest = max(slowest, time.monotonic() - asked_at)
                time.sleep(0.02)
            fault.injected()
            fault.recovered(time.monotonic() - back_at)
        run_ids = web.create_many(QUEUE, RUNS)
        eventually(lambda: len(herd.executed) >= RUNS, what="all runs are executed")

    assert sorted(herd.executed) == sorted(run_ids)
    assert set(herd.statuses) <= {0, 200, 503}
    fault.core(runs=RUNS, answered_500=herd.statuses[500])
    fault.note(
        f"{POLLERS} pollers; the slowest of all other answers meanwhile took {slowest:.2f} s"
    )
    assert max(fault.figures["recovered"]) <= STEADY_SECONDS
    assert slowest <= LONGEST_ANSWER_SECONDS

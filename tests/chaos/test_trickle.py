"""Few runs, idle executors, and a network that forgets who is waiting: nothing is left lying."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.processes import Orchestrator
from tests.acceptance.stage import Fleet, Stage
from tests.acceptance.waiting import eventually
from tests.chaos.fates import EVERY_ROUTE, Rates
from tests.chaos.fault import Fault
from tests.chaos.network import network_to
from tests.chaos.promised_times import require_within
from tests.chaos.three_steps import by_route, finished, kinds, summary

LEASE_SECONDS = 600
EXECUTORS = ("one", "two")
RUNS = 20
RUN_EVERY_SECONDS = 1.0
WITHIN_SECONDS = 15.0
"""Of its creation, whatever happens to the claims: two heartbeats, and then some."""

LOST = 0.3
RATES = {
    EVERY_ROUTE: Rates(lost=LOST),
    "POST /v1/claims": Rates(lost=LOST, abandoned=0.5, longest_wait_seconds=3.0),
}
MOST_ABANDONED = {"POST /v1/claims": Rates(abandoned=0.8, longest_wait_seconds=1.0)}
LULL_SECONDS = 4.0
SOON_SECONDS = 8.0
"""Much less than what is left of the 20 s for which a claim waits, after the lull."""


@pytest.fixture
def cramped(stage: Stage, tmp_path: Path) -> Iterator[Orchestrator]:
    """
    Another orchestrator, at which as many claims can wait as there are executors.

    A claim that was abandoned goes on waiting there, so that its repeat finds a
    place or does not: then it is answered empty at once, and the abandoned one is
    granted what comes.
    """
    orchestrator = Orchestrator(
        "cramped",
        stage.database.service_url,
        tmp_path,
        DIBS_PARKED_CLAIMS=str(len(EXECUTORS)),
    )
    try:
        orchestrator.start()
        yield orchestrator
    finally:
        orchestrator.end()


@pytest.mark.fault("F9", "F30")
def test_a_run_is_soon_executed_although_abandoned_claims_are_granted_it(
    cramped: Orchestrator,
    seed: int,
    fault: Fault,
    fleet: Fleet,
    owner: psycopg.Connection[Any],
    tmp_path: Path,
) -> None:
    with network_to(cramped.url, seed=seed, rates=RATES, directory=tmp_path) as network:
        for name in EXECUTORS:
            fleet.start(name, lease_seconds=LEASE_SECONDS, url=network.url)
        run_ids = trickle(fleet)
        eventually(lambda: finished(owner) == RUNS, within_seconds=WITHIN_SECONDS + 5)
        exchanges = network.history.exchanges()
    waited = waited_seconds(owner)
    sys.stdout.write(f"{waited}\n{kinds(owner)}\n{summary(exchanges)}\n")

    assert fleet.journal.executions() == dict.fromkeys(run_ids, 1)
    assert kinds(owner).keys() <= {"created", "claimed", "orphaned", "reported"}
    require_within(fault, "over", max(waited), WITHIN_SECONDS)
    assert owner.execute('SELECT max(crashes) FROM "workflowRuns"').fetchone() == (0,)
    claims = by_route(exchanges)["POST /v1/claims"]
    assert any(claim.status is None and claim.unheard for claim in claims)


@pytest.mark.fault("F8", "F30")
def test_a_repeat_gets_at_once_what_the_abandoned_claim_beside_it_was_granted(
    stage: Stage,
    seed: int,
    fault: Fault,
    fleet: Fleet,
    owner: psycopg.Connection[Any],
    tmp_path: Path,
) -> None:
    # One run in each queue: no second one makes anybody look there again.
    queues = [f"{fleet.queue}-{number}" for number in range(4)]
    with network_to(
        stage.orchestrator.url, seed=seed, rates=MOST_ABANDONED, directory=tmp_path
    ) as network:
        for queue in queues:
            fleet.start(queue, queue=queue, lease_seconds=LEASE_SECONDS, url=network.url)
        time.sleep(LULL_SECONDS)
        with closing(stage.client()) as client:
            run_ids = [client.create_many(queue, 1)[0] for queue in queues]
        eventually(lambda: finished(owner) == len(queues), within_seconds=WITHIN_SECONDS + 5)
    waited = waited_seconds(owner)

    assert fleet.journal.executions() == dict.fromkeys(run_ids, 1)
    assert kinds(owner).keys() == {"created", "claimed", "reported"}
    require_within(fault, "over", max(waited), SOON_SECONDS)


def trickle(fleet: Fleet) -> list[str]:
    """Create a run every second."""
    run_ids = []
    with closing(fleet.stage.client()) as client:
        for _ in range(RUNS):
            run_ids += client.create_many(fleet.queue, 1)
            time.sleep(RUN_EVERY_SECONDS)
    return run_ids


def waited_seconds(owner: psycopg.Connection[Any]) -> list[float]:
    """How long each run took from its creation to its end, the longest last."""
    rows = owner.execute(
        """
        SELECT extract(epoch FROM "finishedAt" - "createdAt")::float AS waited
          FROM "workflowRuns" ORDER BY waited
        """
    )
    return [row[0] for row in rows]

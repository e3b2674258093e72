"""A standby takes over under load: what was acknowledged is there, and nobody is obeyed twice."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestrator.dev.embedded import EmbeddedPostgres
from tests.acceptance.client import Json
from tests.acceptance.processes import Orchestrator
from tests.chaos.fault import Fault
from tests.chaos.logged_load import LoggedLoad, report_of
from tests.chaos.promised_times import require_within
from tests.chaos.size import sized
from tests.chaos.two_orchestrators import TwoOrchestrators, two_orchestrators
from tests.database import Database
from tests.ledger import check_ledgers
from tests.server_pair import ServerPair, end, freeze, server_pair

PROMOTIONS = sized(1, 10)
LOSSES = sized(1, 5)
LATE_RUNS = sized(30, 100)
ROUNDS = sized(5, 20)
ASKED = sized(2, 10)
AWAY_SECONDS = 10.0
"""The longest that a failover may keep anybody from being served."""
CUT_SECONDS = sized(3.0, 10.0)
HELD_BACK_SECONDS = 2.0

Fence = Callable[[EmbeddedPostgres], None]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("failover")


@pytest.fixture(scope="module")
def pair(directory: Path) -> Iterator[tuple[ServerPair, Database]]:
    with server_pair(directory / "servers") as pair:
        yield pair


@pytest.fixture(scope="module")
def two(pair: tuple[ServerPair, Database], directory: Path) -> Iterator[TwoOrchestrators]:
    with two_orchestrators(pair[1], directory) as two:
        yield two


@pytest.fixture
def servers(pair: tuple[ServerPair, Database], two: TwoOrchestrators) -> ServerPair:
    """A primary whose standby follows it, whatever became of them before."""
    servers, _ = pair
    if not servers.is_followed():
        servers.follow()
    return servers


@pytest.mark.fault("F19")
def test_nothing_acknowledged_is_missing_after_failovers_to_a_synchronous_standby(
    servers: ServerPair, two: TwoOrchestrators, chance: random.Random, fault: Fault
) -> None:
    fences: list[Fence] = chance.sample([end, freeze], 2)
    load = two.load("synchronous")
    with load.running():
        for number in range(PROMOTIONS):
            servers.synchronous()
            load.go_on(ROUNDS)
            fault.recovered(fail_over(servers, load, fences[number % len(fences)]))
            fault.injected()
            servers.follow()
        load.go_on()
    two.everything_is_there(load, fault)

    require_within(fault, "all served again", max(fault.figures["recovered"]), AWAY_SECONDS)


@pytest.mark.fault("F20")
def test_while_the_synchronous_standby_cannot_be_reached_nothing_is_acknowledged(
    servers: ServerPair, two: TwoOrchestrators, fault: Fault
) -> None:
    load = two.load("unreachable")
    with load.running():
        servers.synchronous()
        load.go_on(ROUNDS)
        cut_since = cut_off(servers)
        time.sleep(CUT_SECONDS)
        fault.injected()
        acknowledged = load.written(cut_since)
        fault.recovered(fail_over(servers, load, end))
    two.everything_is_there(load, fault)

    assert acknowledged == []


@pytest.mark.fault("F21")
def test_a_wait_for_the_standby_that_somebody_cancels_is_no_acknowledgement(
    servers: ServerPair, two: TwoOrchestrators, fault: Fault
) -> None:
    load = two.load("cancelled")
    with load.running():
        servers.synchronous()
        load.go_on(ROUNDS)
        cut_since = cut_off(servers)
        with cancelling(servers) as cancelled:
            time.sleep(CUT_SECONDS)
        acknowledged = load.written(cut_since)
        fault.injected(len(cancelled))
        fault.recovered(fail_over(servers, load, end))
    two.everything_is_there(load, fault)

    assert cancelled
    assert acknowledged == []


@pytest.mark.fault("F22")
def test_when_the_last_transactions_are_lost_no_lease_and_no_fence_comes_again(
    servers: ServerPair, two: TwoOrchestrators, fault: Fault
) -> None:
    zombies: list[Json] = []
    load = two.load("asynchronous")
    with load.running():
        for number in range(LOSSES):
            if number:
                servers.follow()
            # They are known to the standby, and claimed when nothing reaches it any more.
            run_ids = load.create("late", LATE_RUNS)
            load.go_on(ROUNDS)
            servers.wait_until_followed()
            cut_since = time.monotonic()
            cut_off(servers)
            lost = load.claimed_from("late", LATE_RUNS)
            time.sleep(max(0.0, cut_since + HELD_BACK_SECONDS - time.monotonic()))
            end(servers.primary)
            servers.promote()
            fault.injected()
            load.go_on()
            again = load.claimed_from("late", LATE_RUNS)
            nobody_is_obeyed(load, lost)
            load.report(again)
            nobody_is_obeyed(load, lost)
            zombies += lost
            assert runs_of(lost) == runs_of(again) == set(run_ids)
    fences_grow(load)
    with closing(psycopg.connect(two.database.owner_url, autocommit=True)) as owner:
        # Against itself alone: what clients were told is gone, as it may be.
        checked = check_ledgers(owner)
        known = leases_in_the_ledger(owner)

    assert not known & leases_of(zombies)
    fault.core(runs=checked.runs)
    fault.note(f"{len(zombies)} leases were lost, their runs leased again: every fence was higher")


@pytest.mark.fault("F23")
def test_who_still_reaches_the_old_primary_acknowledges_nothing(
    servers: ServerPair, two: TwoOrchestrators, directory: Path, fault: Fault
) -> None:
    """
    Its synchronous standby has left it, so it commits nothing that anybody waits for.

    Those whose URL names both servers find the new one, although the old one still writes.
    """
    old = servers.primary
    left_behind = Orchestrator("left-behind", servers.service_url(old), directory)
    load = two.load("split")
    with ended_at_last(left_behind):
        left_behind.start()
        with load.running():
            servers.synchronous()
            load.go_on(ROUNDS)
            cut_off(servers)
            promoted_at = time.monotonic()
            servers.promote()
            load.go_on()
            fault.recovered(time.monotonic() - promoted_at)
            with closing(load.client_of(left_behind.url)) as client:
                asked = [client.send(*load.creation()) for _ in range(ASKED)]
            fault.injected()
            end(old)
        two.everything_is_there(load, fault)

    assert {answer.status_code for answer in asked} == {503}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in asked)


def fail_over(servers: ServerPair, load: LoggedLoad, fence: Fence) -> float:
    """Fence the primary and let the standby take over; how long until everybody was served."""
    old = servers.primary
    fence(old)
    fenced_at = time.monotonic()
    servers.promote()
    load.go_on()
    seconds = time.monotonic() - fenced_at
    end(old)
    return seconds


def cut_off(servers: ServerPair) -> datetime:
    """Let nothing reach the standby any more; since when."""
    assert servers.way is not None
    servers.way.shut()
    return datetime.now(UTC)


@contextmanager
def cancelling(servers: ServerPair) -> Iterator[list[int]]:
    """Cancel each wait for the standby, as soon as it begins, until the block is left."""
    cancelled: list[int] = []
    is_over = threading.Event()

    def cancel() -> None:
        with servers.owner_of(servers.primary) as owner:
            while not is_over.wait(0.01):
                waiting = owner.execute(
                    "SELECT pid, pg_cancel_backend(pid) FROM pg_stat_activity"
                    " WHERE wait_event = 'SyncRep'"
                )
                cancelled.extend(pid for pid, _ in waiting.fetchall())

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        yield cancelled
    finally:
        is_over.set()
        thread.join()


def leases_of(dispatches: list[Json]) -> set[str]:
    return {dispatch["lease"]["id"] for dispatch in dispatches}


def runs_of(dispatches: list[Json]) -> set[str]:
    return {dispatch["run"]["id"] for dispatch in dispatches}


def nobody_is_obeyed(load: LoggedLoad, zombies: list[Json]) -> None:
    """
    Let the holders of leases that were lost renew, report and release.

    Raises:
        AssertionError: There are none, or one was not refused.
    """
    assert zombies
    with closing(load.client("zombie")) as client:
        for dispatch in zombies:
            named = {"leaseId": dispatch["lease"]["id"], "runId": dispatch["run"]["id"]}
            body: dict[str, Any] = {"session": load.session, "leases": [named]}
            renewed = client.ask("/v1/leases/renew", {**body, "claiming": [], "asOf": None})
            reported = client.ask("/v1/reports", report_of(dispatch, load.session, by="zombie"))
            released = client.ask("/v1/leases/release", {**body, "reason": "draining"})

            assert renewed is not None
            assert reported is not None
            assert released is not None
            (result,) = reported["results"]
            assert (renewed["lost"], released["lost"]) == ([named["leaseId"]], [named["leaseId"]])
            assert (result["status"], result["problem"]["code"]) == ("refused", "lease-lost")


def fences_grow(load: LoggedLoad) -> None:
    """
    Look at every lease that anybody was told of.

    Raises:
        AssertionError: A lease was granted to two requests, a fence was seen twice, or
            one was not higher than those that its run had before.
    """
    grants = load.grants()
    by_run = defaultdict(dict)
    for grant in grants:
        by_run[grant.run_id].setdefault(grant.lease_id, grant)
    requests = defaultdict(set)
    for grant in grants:
        requests[grant.lease_id].add(grant.request_id)
    assert all(len(each) == 1 for each in requests.values())
    for leases in by_run.values():
        for one, other in combinations(leases.values(), 2):
            assert one.fence != other.fence, (one, other)
            earlier, later = sorted((one, other), key=lambda grant: grant.returned)
            if earlier.returned < later.sent:
                assert earlier.fence < later.fence, (earlier, later)


def leases_in_the_ledger(owner: psycopg.Connection[Any]) -> set[str]:
    rows = owner.execute("""SELECT "leaseId"::text FROM "runEvents" WHERE kind = 'claimed'""")
    return {lease_id for (lease_id,) in rows}


@contextmanager
def ended_at_last(orchestrator: Orchestrator) -> Iterator[None]:
    try:
        yield
    finally:
        orchestrator.end()

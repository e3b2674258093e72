"""A claim that is repeated at another process gets what the first copy got, however it waits.

The other process has seen the queue empty, and nobody told it of the run: that one
was claimed where it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from uuid import UUID, uuid4

import psycopg
import pytest

from orchestrator.desk import claim_desk
from orchestrator.desk.claim_desk import LONG_WAIT_SECONDS, ClaimDesk
from orchestrator.desk.wishes import ClaimAnswer
from tests.acceptance.waiting import eventually
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor

WAIT_SECONDS = 30.0
PLACES = 2


@pytest.fixture(autouse=True)
def no_lookout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks for those that are parked but where a test says so."""
    monkeypatch.setattr(claim_desk, "LOOK_SECONDS", 3_600.0)
    monkeypatch.setattr(claim_desk, "LOOK_DEAF_SECONDS", 3_600.0)


@pytest.fixture
def asked_meanwhile() -> list[Callable[[], object]]:
    """What is to happen while a claim makes up its mind whether to look; each once."""
    return []


@pytest.fixture
def elsewhere(
    dibs: Dibs,
    database: Database,
    owner: psycopg.Connection,
    executor: Executor,
    asked_meanwhile: list[Callable[[], object]],
) -> Iterator[Dibs]:
    """Another process, which hears the others and has just looked."""
    with closing(Dibs(database.service_url, owner)) as elsewhere:

        def hears_others() -> bool:
            if asked_meanwhile:
                asked_meanwhile.pop()()
            return True

        elsewhere.desk = ClaimDesk(
            elsewhere.database,
            elsewhere.signs,
            elsewhere.points,
            parked_limit=PLACES,
            draining=elsewhere.draining,
            hears_others=hears_others,
        )
        elsewhere.claim(executor)
        yield elsewhere
        elsewhere.draining.set()


@pytest.fixture
def threads(elsewhere: Dibs) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * PLACES) as threads:
        yield threads
        elsewhere.draining.set()


Copy = Callable[..., ClaimAnswer]


@pytest.fixture
def copy(executor: Executor) -> Copy:
    """A copy of one and the same claim, at this process."""
    request_id = uuid4()

    def copy(at: Dibs, *, wait_seconds: float = WAIT_SECONDS) -> ClaimAnswer:
        return at.claim(executor, request_id=request_id, wait_seconds=wait_seconds)

    return copy


def park(
    threads: ThreadPoolExecutor, at: Dibs, claim: Callable[[], ClaimAnswer]
) -> Future[ClaimAnswer]:
    """A claim that waits there."""
    parked = at.desk.parked
    future = threads.submit(claim)
    eventually(lambda: at.desk.parked > parked or future.done(), what="it is parked")
    assert not future.done()
    return future


def take_all_places(threads: ThreadPoolExecutor, at: Dibs) -> None:
    for number in range(PLACES):
        stranger = Executor(f"strangers:{number}")
        park(threads, at, partial(at.claim, stranger, wait_seconds=WAIT_SECONDS))


def drain(threads: ThreadPoolExecutor, at: Dibs) -> None:
    """Let the process end, until nobody parks there any more."""
    stranger = partial(at.claim, Executor("strangers:one"), wait_seconds=WAIT_SECONDS)
    parked = park(threads, at, stranger)
    at.draining.set()
    # Also its last look is over: it would take what comes now.
    assert not parked.result().dispatches


def got(answer: ClaimAnswer) -> tuple[bool, list[UUID]]:
    return (answer.replayed, [dispatch.lease.id for dispatch in answer.dispatches])


def leases(answer: ClaimAnswer) -> list[UUID]:
    assert answer.dispatches
    return [dispatch.lease.id for dispatch in answer.dispatches]


def test_one_that_would_wait_briefly_looks_before_it_does(
    dibs: Dibs, elsewhere: Dibs, threads: ThreadPoolExecutor, copy: Copy
) -> None:
    dibs.pending()
    first = copy(dibs)

    repeat = threads.submit(copy, elsewhere, wait_seconds=LONG_WAIT_SECONDS)

    # If it waited it would not be answered before its time is up.
    assert got(repeat.result(LONG_WAIT_SECONDS / 2)) == (True, leases(first))


def test_one_whose_time_is_up_looks_once_more(
    dibs: Dibs, elsewhere: Dibs, threads: ThreadPoolExecutor, copy: Copy
) -> None:
    waits = park(threads, elsewhere, partial(copy, elsewhere, wait_seconds=4.0))
    dibs.pending()
    first = copy(dibs)

    assert got(waits.result(WAIT_SECONDS)) == (True, leases(first))


def test_one_that_is_parked_unasked_is_found_by_the_next_look(
    dibs: Dibs, elsewhere: Dibs, threads: ThreadPoolExecutor, copy: Copy
) -> None:
    dibs.pending()
    first = copy(dibs)
    repeat = park(threads, elsewhere, partial(copy, elsewhere))
    other = partial(elsewhere.claim, Executor("strangers:one"), wait_seconds=WAIT_SECONDS)
    without = park(threads, elsewhere, other)

    # No other look will come before their time is up: this one ends their wait.
    elsewhere.desk._look()

    assert got(repeat.result(WAIT_SECONDS / 2)) == (True, leases(first))
    assert got(without.result(WAIT_SECONDS / 2)) == (False, [])


def test_one_that_is_parked_when_its_process_ends_looks_once_more(
    dibs: Dibs, elsewhere: Dibs, threads: ThreadPoolExecutor, copy: Copy
) -> None:
    dibs.pending()
    first = copy(dibs)
    repeat = park(threads, elsewhere, partial(copy, elsewhere))

    elsewhere.draining.set()

    assert got(repeat.result(WAIT_SECONDS / 2)) == (True, leases(first))


WITHOUT_A_PLACE = pytest.mark.parametrize("lose_the_places", [take_all_places, drain])


@WITHOUT_A_PLACE
def test_one_that_there_is_no_place_for_looks(
    dibs: Dibs,
    elsewhere: Dibs,
    threads: ThreadPoolExecutor,
    copy: Copy,
    lose_the_places: Callable[[ThreadPoolExecutor, Dibs], None],
) -> None:
    lose_the_places(threads, elsewhere)
    dibs.pending()
    first = copy(dibs)

    assert got(copy(elsewhere)) == (True, leases(first))


@WITHOUT_A_PLACE
def test_one_whose_place_is_gone_when_it_is_about_to_park_looks(
    dibs: Dibs,
    elsewhere: Dibs,
    threads: ThreadPoolExecutor,
    copy: Copy,
    asked_meanwhile: list[Callable[[], object]],
    lose_the_places: Callable[[ThreadPoolExecutor, Dibs], None],
) -> None:
    dibs.pending()
    first = copy(dibs)
    asked_meanwhile.append(partial(lose_the_places, threads, elsewhere))

    assert got(copy(elsewhere)) == (True, leases(first))
    assert not asked_meanwhile

"""A claim that waits at a limit: it is woken when the limit allows more, and rests until then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from orchestrator.desk import claim_desk
from orchestrator.desk.wishes import ClaimAnswer
from orchestrator.store import limits
from orchestrator.store.limits import NewLimits
from orchestrator.store.records import Dispatch
from orchestrator.store.transaction import transact
from tests.acceptance.waiting import eventually
from tests.database import Database
from tests.integration.blocking import waits_for_a_lock
from tests.integration.dibs import Dibs
from tests.integration.statements import captured
from tests.integration.wishes import QUEUE, Executor

WAIT_SECONDS = 20.0

End = Callable[[Dibs, Executor, Dispatch], object]


@pytest.fixture(autouse=True)
def no_lookout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by himself: whoever is woken has been called."""
    monkeypatch.setattr(claim_desk, "LOOK_SECONDS", 3_600.0)
    monkeypatch.setattr(claim_desk, "LOOK_DEAF_SECONDS", 3_600.0)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


@pytest.fixture
def neighbour(database: Database, owner: psycopg.Connection) -> Iterator[Dibs]:
    """Another orchestrator on the same database, which nobody here hears."""
    with closing(Dibs(database.service_url, owner)) as neighbour:
        yield neighbour


def limit(dibs: Dibs, *, concurrency: int | None = None, rate: int | None = None) -> None:
    new = NewLimits(QUEUE, concurrency, rate, None, "ops")
    transact(dibs.database.work, lambda connection: limits.put(connection, new))


def park(
    threads: ThreadPoolExecutor, dibs: Dibs, executor: Executor, **changes: Any
) -> Future[ClaimAnswer]:
    """A claim that was refused and waits."""
    parked = dibs.desk.parked
    claim = threads.submit(dibs.claim, executor, **{"wait_seconds": WAIT_SECONDS, **changes})
    eventually(lambda: dibs.desk.parked > parked or claim.done(), what="it is parked")
    assert not claim.done()
    return claim


def reporting(dibs: Dibs, executor: Executor, held: Dispatch) -> None:
    dibs.tell(held, executor, "success")


def failing(dibs: Dibs, executor: Executor, held: Dispatch) -> None:
    dibs.tell(held, executor, "error")


def releasing(dibs: Dibs, executor: Executor, held: Dispatch) -> None:
    dibs.release(executor, held, reason="tired")


def expiring(dibs: Dibs, executor: Executor, held: Dispatch) -> None:
    dibs.abort(held.run.id)
    dibs.expire(held.run.id)
    dibs.tick()


def losing(dibs: Dibs, executor: Executor, held: Dispatch) -> None:
    dibs.abort(held.run.id)
    dibs.reconcile(executor, as_of=dibs.now())


@pytest.mark.parametrize("end", [reporting, failing, releasing, expiring, losing])
def test_the_end_of_a_lease_wakes_whoever_waits_for_a_full_queue(
    dibs: Dibs, executor: Executor, other: Executor, threads: ThreadPoolExecutor, end: End
) -> None:
    limit(dibs, concurrency=1)
    dibs.pending()
    (held,) = dibs.claim(executor).dispatches
    second = dibs.pending()
    # Its own last look comes too late to count.
    parked = park(threads, dibs, other, wait_seconds=2 * WAIT_SECONDS)

    end(dibs, executor, held)

    assert [each.run.id for each in parked.result(WAIT_SECONDS).dispatches] == [second.id]


def test_a_rate_wakes_one_after_another(
    dibs: Dibs, executor: Executor, threads: ThreadPoolExecutor
) -> None:
    limit(dibs, rate=2)
    for _ in range(8):
        dibs.pending()
    dibs.claim(executor, limit=2)

    parked = [park(threads, dibs, Executor(f"fleet:{number}")) for number in range(4)]

    got = [each.result(WAIT_SECONDS).dispatches for each in parked]
    assert [len(dispatches) for dispatches in got] == [1, 1, 1, 1]


def test_a_rate_wakes_also_one_that_was_served_alone(
    dibs: Dibs,
    neighbour: Dibs,
    executor: Executor,
    other: Executor,
    threads: ThreadPoolExecutor,
) -> None:
    limit(dibs, rate=1)
    for _ in range(2):
        dibs.pending()
    request_id = uuid4()
    with dibs.owner.transaction():
        dibs.serve_a_copy(executor, request_id)
        alone = threads.submit(
            dibs.claim, executor, request_id=request_id, wait_seconds=2 * WAIT_SECONDS
        )
        assert waits_for_a_lock(dibs.owner)
        # Elsewhere, so that nobody here knows of it.
        assert len(neighbour.claim(other).dispatches) == 1

    eventually(lambda: dibs.desk.parked or alone.done(), what="it is parked")
    assert not alone.done()

    assert len(alone.result(WAIT_SECONDS).dispatches) == 1


def test_who_waits_at_a_limit_rests(
    dibs: Dibs, executor: Executor, threads: ThreadPoolExecutor
) -> None:
    limit(dibs, concurrency=1)
    dibs.pending()
    dibs.claim(executor)
    dibs.pending()
    parked = park(threads, dibs, executor, wait_seconds=1.5)

    with captured(dibs.database.work) as statements:
        answer = parked.result(WAIT_SECONDS)

    assert answer.dispatches == ()
    # The last look before its time is up, and no other.
    assert sum("FOR UPDATE OF q" in statement.text for statement in statements) == 1


def test_the_end_of_a_lease_wakes_nobody_in_a_queue_that_limits_none(
    dibs: Dibs, executor: Executor, threads: ThreadPoolExecutor
) -> None:
    limit(dibs, rate=1_000)
    dibs.pending()
    (held,) = dibs.claim(executor).dispatches
    parked = park(threads, dibs, executor, wait_seconds=1.5)

    with captured(dibs.database.work) as statements:
        dibs.tell(held, executor, "success")
        parked.result(WAIT_SECONDS)

    assert sum("FOR UPDATE OF q" in statement.text for statement in statements) == 1

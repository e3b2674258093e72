"""Who comes while another transaction takes the last place waits, and counts anew."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest

from orchestrator.desk.allowances import Allowances
from orchestrator.errors import RunNotClaimable
from orchestrator.store import claims, gates, limits
from orchestrator.store.limits import NewLimits
from orchestrator.store.transaction import transact
from tests.database import Database
from tests.integration.blocking import waits_for_a_lock
from tests.integration.dibs import Dibs
from tests.integration.gathered import WAIT_SECONDS, patient
from tests.integration.wishes import QUEUE, Executor, claim_wish

KEY = (QUEUE, "customer-7")


@pytest.fixture
def slow(database: Database, owner: psycopg.Connection, dibs: Dibs) -> Iterator[Dibs]:
    """A process whose requests may wait for as long as this machine needs."""
    with patient(database, owner), closing(Dibs(database.service_url, owner)) as slow:
        yield slow


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


def limit(
    dibs: Dibs,
    *,
    concurrency: int | None = None,
    rate: int | None = None,
    per_key: int | None = None,
) -> None:
    new = NewLimits(QUEUE, concurrency, rate, per_key, "ops")
    transact(dibs.database.work, lambda connection: limits.put(connection, new))


def keyed(dibs: Dibs, **changes: Any) -> Any:
    return dibs.pending(concurrency_key=KEY[1], **changes)


def test_two_that_let_in_at_once_give_no_place_twice(
    slow: Dibs, owner: psycopg.Connection, thread: ThreadPoolExecutor
) -> None:
    first, second, third = (keyed(slow) for _ in range(3))
    limit(slow, per_key=2)

    with slow.database.work.connect() as connection:
        gates.let_in(connection, [KEY])
        late = thread.submit(
            transact, slow.database.work, lambda connection: gates.let_in(connection, [KEY])
        )
        waited = waits_for_a_lock(owner)
        connection.commit()

    assert late.result(WAIT_SECONDS) == {}
    assert waited
    assert [slow.is_gated(run.id) for run in (first, second, third)] == [False, False, True]


def test_input_that_comes_while_the_last_place_is_given_is_refused(
    slow: Dibs, owner: psycopg.Connection, executor: Executor, thread: ThreadPoolExecutor
) -> None:
    waiting = slow.dispatch(executor, concurrency_key=KEY[1])
    slow.tell(waiting, executor, "awaiting-input", waiting_for='{"reason": "input"}')
    held = slow.dispatch(executor, concurrency_key=KEY[1])
    keyed(slow)
    limit(slow, per_key=2)

    with slow.database.work.connect() as connection:
        gates.let_in(connection, [KEY])
        late = thread.submit(slow.claim_run, executor, waiting.run.id, input_json="{}")
        waited = waits_for_a_lock(owner)
        connection.commit()

    with pytest.raises(RunNotClaimable, match=str(held.run.id)):
        late.result(WAIT_SECONDS)
    assert waited


def test_a_candidate_that_is_locked_just_then_is_let_in_by_the_keeper(
    slow: Dibs, owner: psycopg.Connection, executor: Executor
) -> None:
    held = slow.dispatch(executor, concurrency_key=KEY[1])
    second = keyed(slow)
    with owner.transaction():
        owner.execute('SELECT FROM "workflowRuns" WHERE id = %s FOR UPDATE', [second.id])
        slow.tell(held, executor, "success")
    assert slow.is_gated(second.id)

    slow.tick()

    assert not slow.is_gated(second.id)


def test_a_claim_waits_for_the_one_that_takes_the_last_lease(
    slow: Dibs, owner: psycopg.Connection, executor: Executor, thread: ThreadPoolExecutor
) -> None:
    limit(slow, concurrency=2)
    for _ in range(4):
        slow.pending()
    assert slow.claim(executor).dispatches

    with slow.database.work.connect() as connection:
        taken = claim_within_limits(slow, connection, executor)
        late = thread.submit(slow.claim, executor)
        waited = waits_for_a_lock(owner)
        connection.commit()

    assert (taken, late.result(WAIT_SECONDS).dispatches) == (1, ())
    assert waited


def test_a_claim_by_id_waits_for_the_one_that_takes_the_last_lease(
    slow: Dibs, owner: psycopg.Connection, executor: Executor, thread: ThreadPoolExecutor
) -> None:
    limit(slow, concurrency=2)
    *_, last = (slow.pending() for _ in range(4))
    assert slow.claim(executor).dispatches

    with slow.database.work.connect() as connection:
        taken = claim_within_limits(slow, connection, executor)
        late = thread.submit(slow.claim_run, executor, last.id)
        waited = waits_for_a_lock(owner)
        connection.commit()

    with pytest.raises(RunNotClaimable, match="allows no more leases now"):
        late.result(WAIT_SECONDS)
    assert (taken, waited) == (1, True)


def test_a_claim_from_before_the_limit_is_counted_when_it_is_committed(
    slow: Dibs, executor: Executor
) -> None:
    for _ in range(6):
        slow.pending()
    wish = claim_wish(executor, limit=2)

    with slow.database.work.connect() as connection:
        claims.claim(connection, QUEUE, [wish])
        limit(slow, concurrency=3)
        first = slow.claim(executor)
        connection.commit()

    assert len(first.dispatches) == 1
    assert slow.claim(executor).dispatches == ()


def claim_within_limits(dibs: Dibs, connection: Any, executor: Executor) -> int:
    """Claim one run in a transaction that stays open; how many there were."""
    wish = claim_wish(executor)
    allowances = Allowances(connection, dibs.database.limits, [QUEUE])
    claimed = claims.claim(connection, QUEUE, [wish], at_most=allowances.of(QUEUE, 1))
    allowances.note(QUEUE, len(claimed.dealt))
    allowances.keep()
    return len(claimed.dealt)


def test_what_is_counted_while_claims_from_before_a_limit_are_under_way_is_not_kept(
    slow: Dibs, owner: psycopg.Connection, executor: Executor, other: Executor
) -> None:
    for _ in range(20):
        slow.pending()
    wish = claim_wish(other, limit=5)
    with slow.database.work.connect() as early:
        assert len(claims.claim(early, QUEUE, [wish]).dealt) == 5
        limit(slow, concurrency=10)
        assert len(slow.claim(executor, limit=2).dispatches) == 2
        early.commit()
    owner.execute("""UPDATE queues SET "changedAt" = "changedAt" - interval '1 minute'""")

    # With these eight the two that were counted would make ten.
    assert len(slow.claim(executor, limit=8).dispatches) == 3

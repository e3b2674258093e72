"""Limits of queues: so many leases at once, so many in any one second."""

from __future__ import annotations

from contextlib import closing
from functools import partial

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext

from orchestrator.errors import RunNotClaimable
from orchestrator.store import limits
from orchestrator.store.limits import NewLimits
from orchestrator.store.transaction import transact
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.racing import at_once
from tests.integration.statements import captured
from tests.integration.wishes import QUEUE, Executor


def limit(
    dibs: Dibs, *, concurrency: int | None = None, rate: int | None = None, queue: str = QUEUE
) -> None:
    new = NewLimits(queue, concurrency, rate, None, "ops")
    transact(dibs.database.work, lambda connection: limits.put(connection, new))


def settle(dibs: Dibs) -> None:
    """Let the limits have been put so long ago that no claim is left from before."""
    dibs.sql("UPDATE queues SET \"changedAt\" = now() - interval '1 hour'")


def fill(dibs: Dibs, runs: int, queue: str = QUEUE) -> None:
    for _ in range(runs):
        dibs.pending(queue=queue)


@pytest.mark.parametrize("settled", [False, True])
def test_no_more_leases_at_once_than_the_queue_allows(
    dibs: Dibs, executor: Executor, settled: bool
) -> None:
    limit(dibs, concurrency=3)
    fill(dibs, 5)
    if settled:
        settle(dibs)

    first = dibs.claim(executor, limit=2).dispatches
    second = dibs.claim(executor, limit=2).dispatches
    third = dibs.claim(executor, limit=2).dispatches
    dibs.tell(first[0], executor, "success")
    fourth = dibs.claim(executor, limit=2).dispatches

    assert [len(got) for got in (first, second, third, fourth)] == [2, 1, 0, 1]


def test_leases_from_before_the_limit_count(dibs: Dibs, executor: Executor) -> None:
    fill(dibs, 6)
    held = dibs.claim(executor, limit=4).dispatches
    limit(dibs, concurrency=3)

    assert not dibs.claim(executor).dispatches
    for each in held[:2]:
        dibs.tell(each, executor, "success")
    assert len(dibs.claim(executor, limit=5).dispatches) == 1


def test_no_more_leases_in_a_second_than_the_queue_allows(dibs: Dibs, executor: Executor) -> None:
    limit(dibs, rate=3)
    fill(dibs, 5)

    first = dibs.claim(executor, limit=2).dispatches
    second = dibs.claim(executor, limit=2)
    third = dibs.claim(executor, limit=2)

    assert (len(first), len(second.dispatches), len(third.dispatches)) == (2, 1, 0)
    assert 0 < third.next_poll_after_ms <= 1_300


def test_a_limit_that_is_taken_away_is_none(dibs: Dibs, executor: Executor) -> None:
    limit(dibs, concurrency=1, rate=1)
    fill(dibs, 5)
    assert len(dibs.claim(executor, limit=5).dispatches) == 1

    limit(dibs)

    assert len(dibs.claim(executor, limit=5).dispatches) == 4


def test_a_claim_by_id_keeps_the_limits(dibs: Dibs, executor: Executor) -> None:
    limit(dibs, concurrency=1, rate=100)
    dibs.dispatch(executor)
    second = dibs.pending()

    with pytest.raises(RunNotClaimable) as refused:
        dibs.claim_run(executor, second.id)

    assert refused.value.members["gate"] == "limit"
    assert refused.value.retry_after_seconds is None


def test_a_claim_by_id_is_told_when_the_rate_allows_it(dibs: Dibs, executor: Executor) -> None:
    limit(dibs, rate=1)
    dibs.dispatch(executor)
    second = dibs.pending()

    with pytest.raises(RunNotClaimable) as refused:
        dibs.claim_run(executor, second.id)

    assert refused.value.members["gate"] == "limit"
    assert refused.value.retry_after_seconds is not None
    assert 0 < refused.value.retry_after_seconds < 1.1


def test_another_queue_of_the_same_claim_is_not_held_up(dibs: Dibs, executor: Executor) -> None:
    limit(dibs, concurrency=1)
    fill(dibs, 3)
    fill(dibs, 3, queue="billing")

    got = dibs.claim(executor, limit=10, queues=("default", "billing")).dispatches

    assert sorted(each.run.queue for each in got) == ["billing"] * 3 + ["default"]


@pytest.mark.parametrize(
    ("ahead_seconds", "granted"),
    [
        pytest.param(0, 0, id="just now"),
        pytest.param(0.5, 0, id="the clock stepped back a little"),
        pytest.param(60, 2, id="the clock stepped back a lot"),
        pytest.param(-2, 2, id="long ago"),
    ],
)
def test_what_was_granted_within_a_second_counts(
    dibs: Dibs, executor: Executor, ahead_seconds: float, granted: int
) -> None:
    limit(dibs, rate=2)
    fill(dibs, 3)
    dibs.sql(
        'UPDATE queues SET "grantCounts" = \'{2}\', "grantSlots" ='
        " ARRAY[floor((extract(epoch FROM clock_timestamp()) + %s) * 20)::bigint]",
        ahead_seconds,
    )

    assert len(dibs.claim(executor, limit=3).dispatches) == granted


def test_two_limited_queues_asked_in_opposite_order_do_not_deadlock(
    dibs: Dibs, database: Database, owner: psycopg.Connection
) -> None:
    failures: list[str] = []

    def note(context: ExceptionContext) -> None:
        failures.append(type(context.original_exception).__name__)

    for queue in ("a", "b"):
        limit(dibs, concurrency=1_000, queue=queue)
    # Each finds nothing in the one queue, and asks the other.
    with closing(Dibs(database.service_url, owner)) as second:
        sides = [(dibs, ("a", "b")), (second, ("b", "a"))]
        for each, queues in sides:
            each.claim(Executor("fleet:first"), queues=queues)
            event.listen(each.database.work, "handle_error", note)

        def claim_often(each: Dibs, queues: tuple[str, ...]) -> None:
            for _ in range(50):
                each.claim(Executor("fleet:one"), queues=queues)

        at_once(*(partial(claim_often, *side) for side in sides))

    assert failures == []


def test_a_queue_without_limits_costs_no_statement(dibs: Dibs, executor: Executor) -> None:
    limit(dibs, concurrency=1, queue="narrow")
    dibs.claim(executor, queues=("narrow",))
    dibs.pending()

    with captured(dibs.database.work) as found:
        dibs.claim(executor)
    with captured(dibs.database.work) as nothing:
        dibs.claim(executor)

    # The request's lock and the claim; when that is empty also whether the request was
    # granted something before, and its executor is in service.
    assert (len(found), len(nothing)) == (2, 4)

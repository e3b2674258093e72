"""A key or a queue's row that somebody holds for long keeps only those waiting who need it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Connection

from orchestrator.desk.gathering import Gathering
from orchestrator.store import gates, limits
from orchestrator.store.limits import NewLimits
from orchestrator.store.records import Dispatch
from orchestrator.store.transaction import transact
from tests.database import Database
from tests.integration.blocking import waits_for_a_lock
from tests.integration.dibs import Dibs
from tests.integration.gathered import WAIT_SECONDS, patient, together
from tests.integration.wishes import QUEUE, Executor

KEY = (QUEUE, "customer-7")
ELSEWHERE = "billing"


@pytest.fixture
def slow(database: Database, owner: psycopg.Connection) -> Iterator[Dibs]:
    """A process whose requests wait for longer than this test does."""
    with patient(database, owner), closing(Dibs(database.service_url, owner)) as slow:
        yield slow


@contextmanager
def holding(dibs: Dibs, *, queue: str | None = None) -> Iterator[Connection]:
    """What a process that was stopped before its COMMIT holds: the key, or this queue's row."""
    with dibs.database.work.connect() as stopped:
        if queue is None:
            gates.hold(stopped, uuid4(), KEY)
        else:
            limits.hold(stopped, [queue])
        yield stopped
        stopped.rollback()


def report(slow: Dibs, executor: Executor, dispatch: Dispatch) -> object:
    return slow.tell(dispatch, executor, "success")


def release(slow: Dibs, executor: Executor, dispatch: Dispatch) -> object:
    return slow.release(executor, dispatch)


@pytest.mark.parametrize(
    ("gathering", "act", "becomes"),
    [
        pytest.param(lambda slow: slow.reports._gathering, report, "finished", id="reports"),
        pytest.param(lambda slow: slow.leases._releases, release, "pending", id="releases"),
    ],
)
def test_the_others_do_not_wait_for_the_key_of_one_of_them(
    slow: Dibs,
    owner: psycopg.Connection,
    executor: Executor,
    other: Executor,
    gathering: Callable[[Dibs], Gathering[Any, Any]],
    act: Callable[[Dibs, Executor, Dispatch], object],
    becomes: str,
) -> None:
    keyed = slow.dispatch(executor, concurrency_key=KEY[1])
    first, neighbour = slow.dispatch(other), slow.dispatch(other)

    with (
        holding(slow) as stopped,
        together(
            slow.database.leases,
            gathering(slow),
            partial(act, slow, other, first),
            [partial(act, slow, other, neighbour), partial(act, slow, executor, keyed)],
        ) as (neighbours, ones),
    ):
        neighbours.result(WAIT_SECONDS / 2)
        assert slow.state(neighbour.run.id) == becomes
        assert waits_for_a_lock(owner)
        stopped.rollback()
        ones.result(WAIT_SECONDS)
        assert slow.state(keyed.run.id) == becomes


def test_claims_of_other_queues_do_not_wait_for_the_row_of_a_limited_one(
    slow: Dibs, owner: psycopg.Connection, executor: Executor, other: Executor
) -> None:
    new = NewLimits(QUEUE, 10, None, None, "ops")
    transact(slow.database.work, lambda connection: limits.put(connection, new))
    slow.pending()
    slow.claim(executor)
    slow.pending()
    slow.pending(queue=ELSEWHERE)

    with (
        holding(slow, queue=QUEUE) as stopped,
        together(
            slow.database.work,
            slow.desk._gathering,
            partial(slow.claim, other, queues=("nothing",)),
            [partial(slow.claim, other, queues=(ELSEWHERE,)), partial(slow.claim, executor)],
        ) as (neighbours, ones),
    ):
        assert len(neighbours.result(WAIT_SECONDS / 2).dispatches) == 1
        assert waits_for_a_lock(owner)
        stopped.rollback()
        assert len(ones.result(WAIT_SECONDS).dispatches) == 1


def test_the_keeper_takes_the_expired_leases_beside_one_whose_key_is_held(
    slow: Dibs, executor: Executor, other: Executor
) -> None:
    keyed = slow.dispatch(executor, concurrency_key=KEY[1])
    plain = [slow.dispatch(other) for _ in range(3)]
    for each in (keyed, *plain):
        slow.expire(each.run.id)

    with holding(slow):
        slow.tick()
        assert [slow.state(each.run.id) for each in plain] == ["pending"] * 3
        assert slow.state(keyed.run.id) == "loading"
    slow.tick()
    assert slow.state(keyed.run.id) == "pending"


def test_the_sweep_lets_in_the_others_while_a_key_is_held(slow: Dibs, executor: Executor) -> None:
    for key in (KEY[1], "customer-8"):
        slow.pending(concurrency_key=key)
        slow.pending(concurrency_key=key)
    new = NewLimits(QUEUE, None, None, 2, "ops")
    transact(slow.database.work, lambda connection: limits.put(connection, new))

    with holding(slow):
        slow.tick()
        assert len(slow.claim(executor, limit=10).dispatches) == 3

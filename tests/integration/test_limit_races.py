"""Limits under concurrency: two processes, many threads, and what the ledger says afterwards."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial

import psycopg
import pytest

from orchestrator.desk.creates import Wanted
from orchestrator.errors import DibsError
from orchestrator.store import limits
from orchestrator.store.limits import NewLimits
from orchestrator.store.transaction import transact
from tests.acceptance.waiting import eventually
from tests.database import Database
from tests.integration.at_once import most_grants_in_a_second, most_leases_at_once
from tests.integration.dibs import Dibs
from tests.integration.racing import at_once
from tests.integration.wishes import QUEUE, Executor, new_run

THREADS = 4
KEYS = ("a", "b", "c")
OVER = ("finished", "failed", "aborted")


@pytest.fixture
def both(database: Database, owner: psycopg.Connection, dibs: Dibs) -> Iterator[list[Dibs]]:
    """Two processes of one orchestrator."""
    with closing(Dibs(database.service_url, owner, connections=THREADS)) as other:
        yield [dibs, other]


def limit(
    dibs: Dibs,
    *,
    concurrency: int | None = None,
    rate: int | None = None,
    per_key: int | None = None,
) -> None:
    new = NewLimits(QUEUE, concurrency, rate, per_key, "ops")
    transact(dibs.database.work, lambda connection: limits.put(connection, new))


def work_through(both: list[Dibs], *, runs: int, keys: tuple[str | None, ...]) -> None:
    """Create runs, and let many executors do everything with them that there is to do."""
    names = [keys[number % len(keys)] for number in range(runs)]
    wanted = [Wanted(new_run(concurrency_key=key), return_active=False) for key in names]
    ids = [each.run.id for each in both[0].creates.create(wanted)]
    is_over = threading.Event()

    def execute(dibs: Dibs, number: int) -> None:
        executor, luck = Executor(f"fleet:{number}"), random.Random(number)
        while not is_over.is_set():
            for dispatch in dibs.claim(executor, limit=luck.randint(1, 3)).dispatches:
                fate = luck.random()
                if fate < 0.2:
                    dibs.release(executor, dispatch)
                elif fate < 0.3:
                    dibs.expire(dispatch.run.id)
                elif fate < 0.4:
                    dibs.tell(dispatch, executor, "error", retryable=False)
                else:
                    dibs.tell(dispatch, executor, "success")

    def disturb(dibs: Dibs) -> None:
        luck = random.Random(0)
        while not is_over.is_set():
            dibs.tick()
            dibs.forgive()
            with suppress(DibsError):
                dibs.abort(luck.choice(ids))
            with suppress(DibsError):
                dibs.retry(luck.choice(ids))
            with suppress(DibsError):
                dibs.claim_run(Executor("fleet:by-id"), luck.choice(ids), lease_seconds=2)

    def watch(dibs: Dibs) -> None:
        try:
            eventually(
                lambda: dibs.sql(
                    'SELECT count(*) FILTER (WHERE "runState" <> ALL (%s)) = 0 AS over'
                    ' FROM "workflowRuns"',
                    list(OVER),
                )[0]["over"],
                within_seconds=60,
            )
        finally:
            is_over.set()

    executing: list[Callable[[], None]] = [
        partial(execute, dibs, 2 * number + place)
        for place, dibs in enumerate(both)
        for number in range(THREADS)
    ]
    at_once(*executing, partial(disturb, both[1]), partial(watch, both[0]))


def test_no_key_ever_has_more_leases_than_are_allowed(
    both: list[Dibs], owner: psycopg.Connection
) -> None:
    limit(both[0], per_key=2)

    work_through(both, runs=60, keys=(*KEYS, None))

    assert 1 < most_leases_at_once(owner, of=["queue", "key"]) <= 2


@pytest.mark.parametrize("settled", [False, True])
def test_no_queue_ever_has_more_leases_than_are_allowed(
    both: list[Dibs], owner: psycopg.Connection, settled: bool
) -> None:
    limit(both[0], concurrency=5)
    if settled:
        both[0].sql("UPDATE queues SET \"changedAt\" = now() - interval '1 hour'")

    work_through(both, runs=60, keys=(None,))

    assert 1 < most_leases_at_once(owner, of=["queue"]) <= 5


def test_no_second_has_more_leases_than_are_allowed(
    both: list[Dibs], owner: psycopg.Connection
) -> None:
    limit(both[0], rate=20)

    work_through(both, runs=50, keys=(None,))

    assert 1 < most_grants_in_a_second(owner, QUEUE) <= 20

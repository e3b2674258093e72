"""A pool knows how many wait for one of its connections."""

import sqlite3
import threading

import pytest
from sqlalchemy import create_engine

from orchestrator.store.pool import PatientPool, end_together
from tests.acceptance.waiting import PATIENCE_SECONDS, eventually

WAITING = 3


@pytest.fixture
def pool(monkeypatch):
    """One connection, and as much patience as a busy machine needs."""
    monkeypatch.setattr("orchestrator.store.pool.seconds_left", lambda: PATIENCE_SECONDS)
    pool = PatientPool(
        lambda: sqlite3.connect(":memory:", check_same_thread=False),
        pool_size=1,
        max_overflow=0,
        timeout=PATIENCE_SECONDS,
    )
    yield pool
    pool.dispose()


def test_who_waits_for_a_connection_is_seen_until_it_has_one(pool):
    def take():
        pool.connect().close()

    threads = [threading.Thread(target=take) for _ in range(WAITING)]
    taken = pool.connect()
    nobody = pool.waiting
    for thread in threads:
        thread.start()
    eventually(lambda: pool.waiting == WAITING, what="all of them wait")
    taken.close()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)

    assert (nobody, pool.waiting) == (0, 0)


def test_a_connection_that_is_dead_ends_those_of_the_other_pools_that_are_as_old():
    pools = [create_engine("sqlite://", poolclass=PatientPool) for _ in range(2)]
    end_together(pools)
    one, other = pools

    def link(engine):
        with engine.connect() as connection:
            return connection.connection.dbapi_connection

    old = link(other)
    with one.connect() as dead:
        dead.invalidate()
    new = link(other)

    again = link(other)
    for engine in pools:
        engine.dispose()

    assert new is not old
    assert again is new

"""A pool knows how many wait for one of its connections."""

import sqlite3
import threading

import pytest

from orchestrator.store.pool import PatientPool
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

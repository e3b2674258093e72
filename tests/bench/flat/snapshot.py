"""Claims while somebody holds an old snapshot: nothing that dies can be removed."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import psycopg

from orchestrator.store import health
from orchestrator.store.transaction import transact
from tests.bench.flat.load import Order, under_load
from tests.bench.flat.side import Side
from tests.bench.flat.times import Times, paced, times

CLAIMS_PER_SECOND = 50.0
RUNS_PER_CLAIM = 10
MEASURED_PER_SECOND = 25.0
MEASURED_SECONDS = 60.0
SETTLE_SECONDS = 20.0
HOLDER = "the bench's old snapshot"


@dataclass(frozen=True)
class Held:
    """
    Single claims under churn, before, in the last part of, and after the snapshot's life.

    Attributes:
        runs_per_second: The churn that there was, snapshot and all.
        dead: Dead rows in the table of runs at the end of it.
        named: Who is named as the holder.
    """

    before: Times
    held: Times
    after: Times
    runs_per_second: float
    dead: int
    named: list[str]

    @property
    def p50_ratio(self) -> float:
        return self.held.p50_ms / self.before.p50_ms

    @property
    def p99_ratio(self) -> float:
        return self.held.p99_ms / self.before.p99_ms


def hold(on: Side, service_url: str, *, seconds: float, say: Callable[[str], None]) -> Held:
    """Hold a snapshot for so long under churn, and measure claims of one run beside."""
    measured = min(MEASURED_SECONDS, seconds)
    order = Order(
        service_url, threads=2, limit=RUNS_PER_CLAIM, per_second=CLAIMS_PER_SECOND, keeper=True
    )
    with on.keeping(), under_load(order) as churn:
        began = time.monotonic()
        _measure(on, SETTLE_SECONDS)
        before = _measure(on, measured)
        say(f"  before {before}")
        with closing(
            psycopg.connect(on.owner_url, application_name=HOLDER, autocommit=True)
        ) as holder:
            holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            holder.execute("SELECT 1")
            _measure(on, seconds - measured)
            held = _measure(on, measured)
            say(f"  held   {held}")
            named = [
                each.name for each in transact(on.services.database.work, health.snapshot_holders)
            ]
            dead = _dead(on)
            holder.execute("ROLLBACK")
        _measure(on, SETTLE_SECONDS)
        after = _measure(on, measured)
        say(f"  after  {after}")
        ended = time.monotonic()
    rate = churn.per_second(began, ended) * RUNS_PER_CLAIM
    return Held(before, held, after, rate, dead, named)


def needed_runs(seconds: float) -> int:
    """How many pending runs that takes at most."""
    all_seconds = seconds + 2 * (SETTLE_SECONDS + MEASURED_SECONDS) + 10
    return round(all_seconds * (CLAIMS_PER_SECOND * RUNS_PER_CLAIM + MEASURED_PER_SECOND))


def _measure(on: Side, seconds: float) -> Times:
    took = []
    for _ in paced(MEASURED_PER_SECOND, max(seconds, 1.0)):
        began = time.perf_counter()
        dispatches = on.claim()
        took.append(time.perf_counter() - began)
        on.report(dispatches)
    return times(took)


def _dead(on: Side) -> int:
    with closing(psycopg.connect(on.owner_url, autocommit=True)) as owner:
        (dead,) = owner.execute(
            """SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'workflowRuns'"""
        ).fetchone() or (0,)
    return int(dead)

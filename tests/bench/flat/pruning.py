"""Claims while the keeper deletes a month of old runs, beside claims while it does not."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from statistics import median

import psycopg

from orchestrator.desk.keeper import Keeper
from orchestrator.desk.starting_points import StartingPoints
from tests.bench.flat.load import Order, under_load
from tests.bench.flat.side import Side

THREADS = 16
PAIRS = 5
RETENTION_DAYS = 30
# More than a Python process claims in a second.
MOST_PER_SECOND = 2_000


@dataclass(frozen=True)
class Pruned:
    """
    What pruning cost and did.

    Attributes:
        rates: Claims per second without it and with it, pair by pair.
        runs_per_second: Runs that went per second while claims came as fast as they could.
        rest_runs_per_second: And afterwards, when nothing else was asked.
    """

    rates: list[tuple[float, float]]
    runs_per_second: float
    rest_runs_per_second: float | None

    @property
    def cost(self) -> float:
        """The share of the claim rate that is lost, the median of the pairs."""
        return median(1 - with_it / without for without, with_it in self.rates)


def prune(
    on: Side, service_url: str, *, block_seconds: float, say: Callable[[str], None]
) -> Pruned:
    """
    Claim and report one by one as fast as possible, pruning switched on and off.

    Both are a real keeper that beats; one has a retention. What is left of the
    old runs then goes while nothing else is asked.
    """
    blocks: list[tuple[float, float, float, float]] = []
    gone = 0
    with under_load(Order(service_url, THREADS, 1, None)) as load:
        time.sleep(block_seconds / 2)
        for _ in range(PAIRS):
            before = _old(on)
            if not before:
                break
            with keeping(on, retention_days=0):
                without = _pass(block_seconds)
            with keeping(on, retention_days=RETENTION_DAYS):
                with_it = _pass(block_seconds)
            gone += before - _old(on)
            blocks.append((*without, *with_it))
    rates = [
        (load.per_second(began, ended), load.per_second(later, last))
        for began, ended, later, last in blocks
    ]
    for without_rate, with_rate in rates:
        say(f"  {without_rate:7,.0f} claims/s without, {with_rate:7,.0f} with")
    return Pruned(
        rates, gone / (len(blocks) * block_seconds) if blocks else 0.0, _the_rest(on, say)
    )


def needed_runs(block_seconds: float) -> int:
    """How many pending runs that takes at most."""
    return round((2 * PAIRS + 1) * block_seconds * MOST_PER_SECOND)


@contextmanager
def keeping(on: Side, *, retention_days: int) -> Iterator[None]:
    """A keeper that beats, for which pruning is due."""
    with closing(psycopg.connect(on.owner_url, autocommit=True)) as owner:
        owner.execute('UPDATE keeper SET "prunedAt" = NULL, "lastTickAt" = clock_timestamp()')
    services = on.services
    keeper = Keeper(
        services.database, services.signs, StartingPoints(), retention_days=retention_days
    )
    keeper.start()
    try:
        yield
    finally:
        keeper.stop()


def _pass(seconds: float) -> tuple[float, float]:
    began = time.monotonic()
    threading.Event().wait(seconds)
    return began, time.monotonic()


def _the_rest(on: Side, say: Callable[[str], None]) -> float | None:
    began, before = time.monotonic(), _old(on)
    if not before:
        return None
    with keeping(on, retention_days=RETENTION_DAYS):
        while left := _old(on):
            say(f"  {left:,} old runs are left")
            threading.Event().wait(min(10.0, left / 1_000))
    return before / (time.monotonic() - began)


def _old(on: Side) -> int:
    with closing(psycopg.connect(on.owner_url, autocommit=True)) as owner:
        (old,) = owner.execute(
            """
SELECT count(*) FROM "workflowRuns"
 WHERE id < (lpad(to_hex((extract(epoch FROM now() - make_interval(days => %s)) * 1000)::bigint),
                  12, '0') || repeat('0', 20))::uuid AND "finishedAt" IS NOT NULL
""",
            [RETENTION_DAYS],
        ).fetchone() or (0,)
    return int(old)

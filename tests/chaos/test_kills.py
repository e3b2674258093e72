"""One kind of blow again and again, while runs are executed.

In a short session the storm (`test_kill_storm.py`) stands for most of them.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path

import psycopg
import pytest

from orchestrator.dev.embedded import EmbeddedPostgres
from tests.chaos.building import site_on
from tests.chaos.fault import Fault
from tests.chaos.history import Exchange
from tests.chaos.promised_times import require_within
from tests.chaos.recovery import taken_over
from tests.chaos.site import Site
from tests.chaos.size import sized
from tests.chaos.storming import Pace, storm, write_down
from tests.chaos.strikes import (
    Strike,
    Struck,
    crash_postgres,
    kill_backend,
    kill_executor,
    kill_orchestrators,
    kill_worker,
    restart_orchestrators,
)
from tests.database import Template

LEASE_SECONDS = 2
PATIENT_LEASE_SECONDS = 30
"""Longer than a restart takes: what is restarted in order may cost nobody a lease."""
HEALTHY_SECONDS = 5.0
"""How soon the service must be well after Postgres accepts connections again."""
IDLE_SECONDS = 5.0
"""How long a transaction may be left behind by whoever began it."""

Build = Callable[..., AbstractContextManager[Site]]


@pytest.fixture
def build(
    durable_postgres: EmbeddedPostgres, durable_template: Template, tmp_path: Path, seed: int
) -> Build:
    """Puts up an installation with a database of its own."""
    return partial(site_on, durable_postgres, durable_template, tmp_path, seed=seed)


@pytest.mark.fault("F1")
def test_the_runs_of_killed_executors_are_claimable_again_within_a_lease_and_a_second(
    build: Build, chance: random.Random, fault: Fault
) -> None:
    kills, runs = sized((5, 80), (200, 10_000))
    with build(executors=sized(6, 16), slots=8, lease_seconds=LEASE_SECONDS) as site:
        # As many live at any time as it takes to hold what the dead have held, and nothing
        # has waited before that.
        pace = Pace(runs, step_seconds=0.3, settle_seconds=sized(2, 1), most_live=runs // kills)
        struck = storm(site, chance, [kill_executor] * kills, pace)
        held = taken_over(site.database, struck)
        write_down(site, struck, fault)

    assert held, "nobody held anything when it was killed"
    taken_back = max(one.taken_back for one in held)
    require_within(fault, "claimable again", taken_back, LEASE_SECONDS + 1)
    median = statistics.median(one.leased_again for one in held)
    require_within(fault, "leased again, half of them", median, LEASE_SECONDS + 0.6)


@pytest.mark.only_long
@pytest.mark.fault("F13")
def test_a_killed_server_process_leaves_nothing_half_done_and_no_transaction_open(
    build: Build, chance: random.Random, fault: Fault
) -> None:
    kills, runs = 200, 6_000
    with build(workers=2, lease_seconds=LEASE_SECONDS) as site:
        struck = storm(site, chance, [looking_for_leftovers(kill_worker)] * kills, Pace(runs))
        write_down(site, struck, fault)


@pytest.mark.only_long
@pytest.mark.fault("F14")
def test_when_all_orchestrators_were_killed_the_backlog_is_executed_all_the_same(
    build: Build, chance: random.Random, fault: Fault
) -> None:
    kills, runs = 30, 3_000
    with build(lease_seconds=LEASE_SECONDS) as site:
        struck = storm(site, chance, [kill_orchestrators] * kills, Pace(runs))
        write_down(site, struck, fault)


@pytest.mark.fault("F15")
def test_a_rolling_restart_costs_nobody_more_than_a_repeat(
    build: Build, chance: random.Random, fault: Fault
) -> None:
    restarts, runs = sized((1, 80), (20, 2_000))
    with build(lease_seconds=PATIENT_LEASE_SECONDS) as site:
        struck = storm(site, chance, [restart_orchestrators] * restarts, Pace(runs))
        write_down(site, struck, fault)
        not_to_be_repeated = [one for one in site.exchanges() if not may_be_repeated(one)]
        executed = site.journal.executions()

    assert not_to_be_repeated == []
    assert executed == site.lengths


@pytest.mark.only_long
@pytest.mark.fault("F16")
def test_after_a_crash_of_postgres_all_that_was_acknowledged_is_there(
    build: Build, chance: random.Random, fault: Fault
) -> None:
    crashes, runs = 30, 6_000
    with build(lease_seconds=LEASE_SECONDS) as site:
        struck = storm(site, chance, [crash_postgres] * crashes, Pace(runs))
        write_down(site, struck, fault)

    require_within(fault, "healthy again", max(fault.figures["recovered"]), HEALTHY_SECONDS)


@pytest.mark.only_long
@pytest.mark.fault("F17")
def test_when_a_backend_was_killed_and_with_it_all_others_the_service_recovers(
    build: Build, chance: random.Random, fault: Fault
) -> None:
    kills, runs = 20, 2_000
    with build(lease_seconds=LEASE_SECONDS) as site:
        struck = storm(site, chance, [kill_backend] * kills, Pace(runs))
        write_down(site, struck, fault)


def looking_for_leftovers(strike: Strike) -> Strike:
    """The same blow, before which nobody's transaction may have been left behind."""

    def look_and_strike(site: Site, chance: random.Random) -> Struck:
        assert longest_idle_seconds(site) <= IDLE_SECONDS
        return strike(site, chance)

    return look_and_strike


def longest_idle_seconds(site: Site) -> float:
    """For how long a transaction of the service has been waiting for whoever began it."""
    with closing(psycopg.connect(site.database.owner_url)) as owner:
        row = owner.execute(
            """
            SELECT coalesce(max(extract(epoch FROM clock_timestamp() - state_change)), 0)::float
              FROM pg_stat_activity
             WHERE datname = current_database() AND usename = %s
               AND state LIKE 'idle in transaction%%'
            """,
            [site.database.service_role],
        ).fetchone()
    assert row is not None
    seconds: float = row[0]
    return seconds


def may_be_repeated(exchange: Exchange) -> bool:
    """Whether this was a success, or an answer that asks to come again, or none."""
    return exchange.status in (None, 200, 201, 503)

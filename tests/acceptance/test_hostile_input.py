"""The whole list of hostile input, again and again, while a good fleet works."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import orjson
import psycopg
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.stage import Stage, check_all_ledgers, make_token, stage_on
from tests.bench.memory import footprint
from tests.bench.processor_time import workers_of
from tests.database import Template, fresh_database
from tests.hostile.credentials import CANARY
from tests.hostile.good_fleet import GoodFleet
from tests.hostile.place import place_on
from tests.hostile.sender import Sender, sender_to

# After the first round every thread and connection is there that there will be. The others may
# take so long, where the machine is busy with something else.
WARM_UP_ROUNDS = 1
ROUNDS = 3
ROUNDS_SECONDS = 30.0
# What a case costs the others is to be seen, not what is left of a machine kept busy by one.
PACE_SECONDS = 0.025
PHASE_SECONDS = 2.0
# Pairs of them, without the list and with it. What else the machine does comes and goes: when it
# was in the way, there are more of them.
PAIRS = 4
PAIRS_AT_MOST = 16
SLOWER_AT_MOST = 2.0
# What is freed goes back to the kernel at once, so that what is kept can be seen: of the bodies of
# one round that would be as much as this alone.
MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
GROWTH_MB_AT_MOST = 10.0

pytestmark = pytest.mark.timeout(300)


@dataclass
class Ordeal:
    """
    What is seen while it lasts.

    Attributes:
        quiet_p99: The fleet's, in seconds, of each phase without the list.
        hostile_p99: Of each phase with it.
        memory_mb: What the server held after the warm-up, and at the end.
    """

    stage: Stage
    fleet: GoodFleet
    sender: Sender
    quiet_p99: list[float] = field(default_factory=list)
    hostile_p99: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)

    @property
    def slower(self) -> float:
        """How many times as slow the fleet is beside the list."""
        return statistics.median(self.hostile_p99) / statistics.median(self.quiet_p99)

    def is_settled(self) -> bool:
        return len(self.quiet_p99) >= PAIRS and self.slower <= SLOWER_AT_MOST

    def take_place(self) -> None:
        """Warm up, and measure until it is settled."""
        self.fleet.start()
        self.sender.send_until(WARM_UP_ROUNDS)
        self.memory_mb.append(self._resident_mb())
        while not self.is_settled() and len(self.quiet_p99) < PAIRS_AT_MOST:
            self.quiet_p99.append(self._phase())
            with self.sender.sending(seconds=PHASE_SECONDS, pace_seconds=PACE_SECONDS):
                self.hostile_p99.append(self._phase())
        self.sender.send_until(ROUNDS, within_seconds=ROUNDS_SECONDS)
        self.memory_mb.append(self._resident_mb())

    def _phase(self) -> float:
        since = time.monotonic()
        time.sleep(PHASE_SECONDS)
        return self.fleet.p99(since, since + PHASE_SECONDS)

    def _resident_mb(self) -> float:
        pids = workers_of(self.stage.orchestrator.process.pid)
        return sum(one.memory_mb for pid in pids if (one := footprint(pid)))


@pytest.fixture(scope="module")
def ordeal(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ordeal]:
    """A server of its own; it is over when the tests look at it."""
    with (
        fresh_database(template) as database,
        stage_on(database, tmp_path_factory.mktemp("hostile"), **MALLOC) as stage,
        sender_to(place_on(stage)) as sender,
    ):
        fleet = GoodFleet(
            stage.orchestrator.url,
            client_token=make_token(database, "good-client", Role.CLIENT),
            executor_token=make_token(database, "good-executor", Role.EXECUTOR),
        )
        ordeal = Ordeal(stage, fleet, sender)
        with closing(fleet):
            ordeal.take_place()
        yield ordeal


@pytest.fixture
def owner(ordeal: Ordeal) -> Iterator[psycopg.Connection]:
    """A way into the ordeal's database."""
    with closing(psycopg.connect(ordeal.stage.database.owner_url, autocommit=True)) as connection:
        yield connection


def test_every_row_gets_what_the_list_says_every_time(ordeal: Ordeal) -> None:
    assert ordeal.sender.failures == []
    assert ordeal.sender.rounds > WARM_UP_ROUNDS


def test_the_fleet_is_refused_nothing_and_loses_nothing(
    ordeal: Ordeal, owner: psycopg.Connection
) -> None:
    finished = ordeal.fleet.finished
    stored = owner.execute(
        """
        SELECT r.id::text, r."runState", count(*) FILTER (WHERE e.kind = 'claimed'),
               (SELECT count(*) FROM "workflowSteps" s WHERE s."runId" = r.id)
          FROM "workflowRuns" r JOIN "runEvents" e ON e."runId" = r.id
         WHERE r."createdBy" = 'good-client' GROUP BY r.id
        """
    ).fetchall()

    assert ordeal.fleet.failures == []
    assert len(finished) > 100
    assert sorted(stored) == sorted((run_id, "finished", 1, 1) for run_id in finished)


def test_the_fleet_s_p99_is_within_twice_what_it_is_without(ordeal: Ordeal) -> None:
    assert ordeal.slower <= SLOWER_AT_MOST, (ordeal.quiet_p99, ordeal.hostile_p99)


def test_the_server_s_memory_is_flat(ordeal: Ordeal) -> None:
    before, after = ordeal.memory_mb
    if not before:
        pytest.skip("the kernel does not tell a process's memory here")

    assert after - before <= GROWTH_MB_AT_MOST, ordeal.memory_mb


def test_the_ledger_is_clean(ordeal: Ordeal) -> None:
    check_all_ledgers(ordeal.stage.database)


def test_the_log_tells_of_no_surprise(ordeal: Ordeal) -> None:
    lines = ordeal.stage.orchestrator.log_file.read_bytes().splitlines()
    told = [orjson.loads(line) for line in lines]

    assert {one["level"] for one in told} <= {"info", "warning"}
    assert not any(b"\x1b" in line for line in lines)


def test_no_credential_that_was_sent_is_logged_or_kept(
    ordeal: Ordeal, owner: psycopg.Connection
) -> None:
    log = ordeal.stage.orchestrator.log_file.read_text()
    secrets = [token.split("_", 2)[2] for token in ordeal.stage.tokens.values()]

    assert [secret for secret in (CANARY, *secrets) if secret in log] == []
    assert [secret for secret in (CANARY, *secrets) if is_kept(owner, secret)] == []


def is_kept(owner: psycopg.Connection, secret: str) -> bool:
    """Whether it stands in any row of any table."""
    tables = owner.execute(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public'"
    ).fetchall()
    return any(
        owner.execute(
            f"SELECT EXISTS (SELECT FROM {table} kept WHERE strpos(kept::text, %s) > 0)", [secret]
        ).fetchone()
        == (True,)
        for (table,) in tables
    )

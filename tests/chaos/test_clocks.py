"""Clocks are wrong by an hour, or jump: only the database's counts, and it may jump as well."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from orchestrator.dev.embedded import EmbeddedPostgres
from tests.acceptance.client import Client
from tests.acceptance.processes import Orchestrator
from tests.acceptance.stage import LEASE_SECONDS, Fleet, Stage, check_all_ledgers, stage_on
from tests.acceptance.waiting import eventually
from tests.chaos.fault import Fault
from tests.chaos.judgement import require_no_500
from tests.chaos.promised_times import require_within
from tests.chaos.size import sized
from tests.chaos.wrong_clock import WrongClock, left_behind
from tests.database import Template, fresh_database, template_on

HOUR = {"ahead": "+3600", "behind": "-3600"}
JUMPS = {"forward": "+600", "back": "-600"}
JUMP_SECONDS = 600
PAUSE_SECONDS = (0.1, 0.6)
RUNS = sized(60, 500)
HELD = 8
SLOTS = 8


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """What a process that is killed leaves of the library's shared memory goes."""
    before = left_behind()
    yield
    for file in left_behind() - before:
        file.unlink(missing_ok=True)


@pytest.fixture
def web(stage: Stage) -> Iterator[Client]:
    with closing(stage.client()) as client:
        yield client


@pytest.mark.fault("F31")
def test_whatever_the_clocks_of_executors_show_runs_are_executed_once_and_in_time(
    fleet: Fleet, web: Client, tmp_path: Path, chance: random.Random, fault: Fault
) -> None:
    clocks = {name: WrongClock(tmp_path / name, offset) for name, offset in HOUR.items()}
    clocks["restless"] = WrongClock(tmp_path / "restless")

    with restless(clocks["restless"], chance, fault):
        for name, clock in clocks.items():
            fleet.add(name, slots=SLOTS, **clock.environment)
        one_dies_and_all_is_done(fleet, web, fault)


@pytest.mark.fault("F32")
def test_whatever_the_clocks_of_orchestrators_show_runs_are_executed_once_and_in_time(
    template: Template, tmp_path: Path, chance: random.Random, fault: Fault
) -> None:
    ahead, behind = (WrongClock(tmp_path / name, offset) for name, offset in HOUR.items())
    jumping = WrongClock(tmp_path / "jumping")
    with (
        restless(jumping, chance, fault),
        fresh_database(template) as database,
        stage_on(database, tmp_path, **ahead.environment) as stage,
        beside(stage, "behind", tmp_path, behind) as second,
        beside(stage, "restless", tmp_path, jumping) as third,
    ):
        with closing(Fleet(stage, "clocks", tmp_path)) as fleet, closing(stage.client()) as web:
            for name, url in (("ahead", None), ("behind", second.url), ("restless", third.url)):
                fleet.add(name, slots=SLOTS, url=url)
            one_dies_and_all_is_done(fleet, web, fault)
        for orchestrator in (stage.orchestrator, second, third):
            require_no_500(orchestrator)
        check_all_ledgers(database)


@pytest.fixture
def clock(tmp_path: Path) -> WrongClock:
    """The clock of this test's database."""
    return WrongClock(tmp_path / "clock")


@pytest.fixture
def postgres(
    clock: WrongClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(tmp_path / "postgres")
    with monkeypatch.context() as environment:
        for name, value in clock.environment.items():
            environment.setenv(name, value)
        postgres.start()
    try:
        yield postgres
    finally:
        postgres.stop()


@pytest.mark.parametrize(
    "by",
    [
        pytest.param("forward", marks=pytest.mark.fault("F33")),
        pytest.param("back", marks=pytest.mark.fault("F34")),
    ],
)
def test_when_the_databases_clock_jumps_the_living_keep_their_runs_and_the_dead_lose_them(
    by: str, postgres: EmbeddedPostgres, clock: WrongClock, tmp_path: Path, fault: Fault
) -> None:
    with (
        template_on(postgres.owner_url, shared=False) as template,
        fresh_database(template) as database,
        stage_on(database, tmp_path) as stage,
        closing(Fleet(stage, "clocks", tmp_path)) as fleet,
        closing(stage.client()) as web,
        closing(psycopg.connect(database.owner_url, autocommit=True)) as owner,
    ):
        kept = web.create_many(fleet.queue, HELD, "hold", input={"gate": "gate"})
        fleet.start("living", slots=HELD)
        fleet.journal.wait_for(*kept)
        left = web.create_many(fleet.queue, HELD, "hold", input={"gate": "gate"})
        dead = fleet.start("dead", slots=HELD)
        fleet.journal.wait_for(*left)
        eventually(lambda: web.count(fleet.queue, "started") == 2 * HELD, what="all were renewed")

        before = now(owner)
        dead.kill()
        clock.jump_to(JUMPS[by])
        jumped_at = time.monotonic()
        jumped_by = (now(owner) - before).total_seconds()
        fault.injected()
        for run_id in left:
            eventually(lambda run_id=run_id: "expired" in web.kinds(run_id), what="it is taken")
            fault.recovered(time.monotonic() - jumped_at)
        # Whatever is going to be taken from its holder is taken within two leases.
        time.sleep(2 * LEASE_SECONDS)
        fleet.gates.open("gate")
        runs = [web.wait_for(run_id) for run_id in (*kept, *left)]
        require_no_500(stage.orchestrator)
        check_all_ledgers(database)

    assert abs(abs(jumped_by) - JUMP_SECONDS) < JUMP_SECONDS / 2, "the clock did not jump"
    fault.core(runs=len(runs), lost=sum(run["runState"] != "finished" for run in runs))
    assert [run["attempt"] for run in runs] == [1] * HELD + [2] * HELD
    taken_back = max(fault.figures["recovered"])
    require_within(fault, "taken back", taken_back, 2 * LEASE_SECONDS + 1)


def one_dies_and_all_is_done(fleet: Fleet, web: Client, fault: Fault) -> None:
    """
    Let the first executor hold runs and be killed, and the others do what there is.

    Raises:
        AssertionError: A run was executed twice for no reason, or taken back too late.
    """
    doomed, *others = fleet.started
    held = web.create_many(fleet.queue, HELD, "hold", input={"gate": "gate", "each": True})
    doomed.start()
    fleet.journal.wait_for(*held)
    eventually(lambda: web.count(fleet.queue, "started") == HELD, what="all were renewed")
    for executor in others:
        fleet.gates.open(f"gate-{executor.name}")
        executor.start()
    run_ids = web.create_many(fleet.queue, RUNS, "brief", input={"seconds": 0.05})
    with closing(psycopg.connect(fleet.stage.database.owner_url, autocommit=True)) as owner:
        killed_at = now(owner)
    doomed.kill()

    runs = [web.wait_for(run_id) for run_id in (*held, *run_ids)]
    for run_id in held:
        (expired,) = (event for event in web.events(run_id) if event["kind"] == "expired")
        fault.recovered((datetime.fromisoformat(expired["at"]) - killed_at).total_seconds())
    doomed_too = {run["id"] for run in runs if run["crashes"]}
    executed = fleet.journal.executions()
    fault.core(
        runs=len(runs),
        lost=sum(run["runState"] != "finished" for run in runs),
        doubled=sum(executed[run["id"]] > 1 + run["crashes"] for run in runs),
    )
    assert set(held) <= doomed_too
    require_within(fault, "taken back", max(fault.figures["recovered"]), LEASE_SECONDS + 1)


@contextmanager
def beside(stage: Stage, name: str, directory: Path, clock: WrongClock) -> Iterator[Orchestrator]:
    """Another orchestrator on the stage's database, with a clock of its own."""
    orchestrator = Orchestrator(
        f"dibs-{name}", stage.database.service_url, directory, **clock.environment
    )
    try:
        orchestrator.start()
        yield orchestrator
    finally:
        orchestrator.end()


def now(owner: psycopg.Connection) -> datetime:
    """The database's clock."""
    ((moment,),) = owner.execute("SELECT clock_timestamp()").fetchall()
    assert isinstance(moment, datetime)
    return moment


@contextmanager
def restless(clock: WrongClock, chance: random.Random, fault: Fault) -> Iterator[None]:
    """A clock that jumps by up to an hour, again and again, until the block is left."""
    is_over = threading.Event()

    def jump() -> None:
        while not is_over.wait(chance.uniform(*PAUSE_SECONDS)):
            clock.jump_to(f"{chance.randint(-3600, 3600):+d}")
            fault.injected()

    thread = threading.Thread(target=jump)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()

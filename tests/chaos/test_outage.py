"""The database is away for three leases: what is being executed stays with who executes it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from orchestrator.dev.embedded import EmbeddedPostgres
from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json
from tests.acceptance.processes import Orchestrator
from tests.acceptance.stage import LEASE_SECONDS, Fleet, Stage, check_all_ledgers, stage_on
from tests.acceptance.waiting import eventually
from tests.chaos.fault import Fault
from tests.chaos.judgement import require_no_500
from tests.chaos.promised_times import require_within
from tests.chaos.size import sized
from tests.database import Template, fresh_database

SLOTS = 20
EXECUTORS = ("one", "two")
RUNS = SLOTS * len(EXECUTORS)
OUTAGE_SECONDS = 3 * LEASE_SECONDS
HANG_SECONDS = sized(OUTAGE_SECONDS, 20)
ASKED_EACH = 4
LONGEST_ANSWER_SECONDS = 7.0
"""Five that a request may wait for the database, and what a busy machine adds."""
CROWD = 40
"""Requests at once that leave no doubt how many threads an orchestrator has at work."""


@pytest.fixture
def postgres(durable_postgres: EmbeddedPostgres) -> EmbeddedPostgres:
    return durable_postgres


@pytest.fixture
def stage(durable_template: Template, tmp_path: Path) -> Iterator[Stage]:
    """An orchestrator on that server; at the end every ledger is checked."""
    with fresh_database(durable_template) as database, stage_on(database, tmp_path) as stage:
        yield stage
        require_no_500(stage.orchestrator)
        check_all_ledgers(database)


@pytest.fixture
def web(stage: Stage) -> Iterator[Client]:
    with closing(stage.client()) as client:
        yield client


@pytest.fixture
def run_ids(fleet: Fleet, web: Client) -> list[str]:
    """
    Runs that two executors execute until the gate is opened.

    Half of their handlers stop when they are told to, half go on regardless.
    """
    run_ids = [
        run_id
        for workflow in ("hold", "stubborn")
        for run_id in web.create_many(fleet.queue, RUNS // 2, workflow, input={"gate": "gate"})
    ]
    for name in EXECUTORS:
        fleet.start(name, slots=SLOTS)
    fleet.journal.wait_for(*run_ids)
    eventually(lambda: web.count(fleet.queue, "started") == RUNS, what="all have been renewed")
    return run_ids


@pytest.mark.fault("F35")
def test_running_work_keeps_its_holder_when_the_database_is_away_for_three_leases(
    postgres: EmbeddedPostgres, fleet: Fleet, web: Client, run_ids: list[str], fault: Fault
) -> None:
    postgres.stop(immediate=True)
    time.sleep(OUTAGE_SECONDS)
    postgres.start()

    fault.injected()
    runs_keep_their_holder(fleet, web, run_ids, fault)


@pytest.mark.fault("F35", "F14")
def test_running_work_keeps_its_holder_when_the_orchestrator_is_a_new_one_after_the_outage(
    postgres: EmbeddedPostgres,
    stage: Stage,
    fleet: Fleet,
    web: Client,
    run_ids: list[str],
    fault: Fault,
) -> None:
    postgres.stop(immediate=True)
    stage.orchestrator.kill()
    time.sleep(OUTAGE_SECONDS)
    postgres.start()
    stage.orchestrator.start()

    fault.injected()
    runs_keep_their_holder(fleet, web, run_ids, fault)


@pytest.mark.fault("F18")
def test_a_database_that_hangs_costs_nobody_a_thread_and_nobody_a_run(
    postgres: EmbeddedPostgres,
    stage: Stage,
    fleet: Fleet,
    web: Client,
    run_ids: list[str],
    fault: Fault,
) -> None:
    with closing(stage.client(Role.EXECUTOR)) as executor:
        crowd(executor)
        threads_before = threads_of(stage.orchestrator)
        asked = [
            lambda: web.send("GET", f"/v1/runs/{run_ids[0]}"),
            lambda: web.send("POST", "/v1/runs", {"workflow": "record", "queue": "later"}),
            lambda: executor.send("POST", "/v1/claims", executor.claim_body("later")),
            lambda: executor.send("POST", "/v1/leases/renew", renewal_of_nothing()),
        ]
        with hanging(postgres), ThreadPoolExecutor(len(asked) * ASKED_EACH) as pool:
            hangs_since = time.monotonic()
            answers = [pool.submit(timed, ask) for ask in asked for _ in range(ASKED_EACH)]
            answered = [answer.result() for answer in answers]
            time.sleep(max(0.0, hangs_since + HANG_SECONDS - time.monotonic()))

    assert {answer.status_code for answer, _ in answered} == {503}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer, _ in answered)
    longest = max(seconds for _, seconds in answered)
    require_within(fault, "any answer", longest, LONGEST_ANSWER_SECONDS)
    eventually(
        lambda: threads_of(stage.orchestrator) <= threads_before,
        within_seconds=10,
        what=f"no more than {threads_before} threads",
    )
    fault.injected()
    runs_keep_their_holder(fleet, web, run_ids, fault)


def runs_keep_their_holder(fleet: Fleet, web: Client, run_ids: list[str], fault: Fault) -> None:
    """
    Let all runs finish.

    Raises:
        AssertionError: More than one of a hundred was not finished under its first lease.
    """
    eventually(lambda: answers(web), what="the orchestrator is back")
    # Whatever is going to be taken from its holder is taken within two leases.
    time.sleep(2 * LEASE_SECONDS)
    fleet.gates.open("gate")
    runs = [web.wait_for(run_id) for run_id in run_ids]
    kept = sum(run["attempt"] == 1 for run in runs)
    fault.core(runs=len(runs), lost=sum(run["runState"] != "finished" for run in runs))
    fault.note(f"{kept} of {len(runs)} runs kept their holder")
    assert kept >= 0.99 * len(runs)


def answers(client: Client) -> bool:
    """Whether the orchestrator can ask its database again."""
    return client.send("GET", "/v1/whoami").is_success


@contextmanager
def hanging(postgres: EmbeddedPostgres) -> Iterator[None]:
    """A server none of whose processes does anything while the block lasts."""
    assert postgres.pid is not None
    # The postmaster first: then it starts no others.
    os.kill(postgres.pid, signal.SIGSTOP)
    pids = [postgres.pid, *children_of(postgres.pid)]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def children_of(pid: int) -> list[int]:
    """The processes that this one has started and that have not ended."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def crowd(executor: Client) -> None:
    """Be many at once, who wait for a second: the server keeps the threads that it took."""
    body = executor.claim_body("later", waitSeconds=1)
    with ThreadPoolExecutor(CROWD) as pool:
        claims = [
            pool.submit(executor.send, "POST", "/v1/claims", {**body, "requestId": str(uuid4())})
            for _ in range(CROWD)
        ]
        assert {claim.result().status_code for claim in claims} == {200}


def threads_of(orchestrator: Orchestrator) -> int:
    """How many threads an orchestrator and its workers have."""
    main = orchestrator.process.pid
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in (main, *children_of(main)))


def timed(ask: Callable[[], httpx2.Response]) -> tuple[httpx2.Response, float]:
    """An answer, and after how many seconds it came."""
    asked_at = time.monotonic()
    return ask(), time.monotonic() - asked_at


def renewal_of_nothing() -> Json:
    """The body of a renewal that names no lease."""
    return {"session": str(uuid4()), "leases": [], "claiming": [], "asOf": None}

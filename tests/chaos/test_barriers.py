"""Two writers at one run at the same instant, 250 times or 5,000: one outcome each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from uuid import uuid4

import psycopg
import pytest

from orchestrator.errors import LeaseLost, RunOver
from orchestrator.store import endings, leases, runs
from orchestrator.store.records import Dispatch, Run
from orchestrator.store.transaction import transact
from orchestrator.store.verdict import EndedLease
from tests.chaos.fault import Fault
from tests.chaos.head_start import HeadStart
from tests.chaos.size import sized
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor, new_run
from tests.ledger import check_ledgers

ROUNDS = sized(250, 5_000)
BATCH = sized(250, 500)
LEASE_SECONDS = 600


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection]:
    """The owner's own session, each statement a transaction."""
    with closing(psycopg.connect(database.owner_url, autocommit=True)) as connection:
        yield connection


@pytest.fixture
def dibs(database: Database, owner: psycopg.Connection) -> Iterator[Dibs]:
    """One orchestrator; after the test every run's ledger is checked."""
    with closing(Dibs(database.service_url, owner)) as dibs:
        yield dibs
        check_ledgers(owner)


@pytest.fixture
def neighbour(dibs: Dibs, database: Database, owner: psycopg.Connection) -> Iterator[Dibs]:
    """Another orchestrator on the same database."""
    with closing(Dibs(database.service_url, owner)) as neighbour:
        yield neighbour


@pytest.fixture
def start(seed: int) -> HeadStart:
    return HeadStart(seed)


def create_batch(dibs: Dibs, queue: str) -> None:
    """As many new runs as one claim may get, in a queue of their own."""
    new = [new_run(queue=queue) for _ in range(BATCH)]
    made: list[Run] = transact(dibs.database.work, lambda connection: runs.create(connection, new))
    assert len(made) == BATCH


def held_runs(dibs: Dibs) -> Iterator[tuple[Executor, Dispatch]]:
    """Runs that somebody holds, one for each round."""
    for number in range(ROUNDS // BATCH):
        # Who has lost too many leases gets no more: the next batch is another's.
        executor, queue = Executor(f"fleet:{number}"), f"batch-{number}"
        create_batch(dibs, queue)
        claimed = dibs.claim(executor, queues=(queue,), limit=BATCH, lease_seconds=LEASE_SECONDS)
        assert len(claimed.dispatches) == BATCH
        for dispatch in claimed.dispatches:
            yield executor, dispatch


def let_expire(dibs: Dibs, dispatch: Dispatch) -> None:
    """Let this lease have expired, before a keeper that is awake."""
    dibs.expire(dispatch.run.id)
    dibs.set_keeper(awake=True)


def reap(dibs: Dibs) -> list[EndedLease]:
    """What the keeper does: the statement alone, a whole beat would nearly always be late."""
    return transact(
        dibs.database.work,
        lambda connection: endings.expire(
            connection, since=leases.server_time(connection), limit=1
        ),
    )


@pytest.mark.fault("F4", "F5")
def test_a_report_and_the_keeper_never_both_end_a_lease(
    dibs: Dibs, neighbour: Dibs, start: HeadStart, fault: Fault
) -> None:
    for executor, dispatch in held_runs(dibs):
        let_expire(dibs, dispatch)

        answer, reaped = start.both(
            partial(dibs.tell, dispatch, executor, "success"), partial(reap, neighbour)
        )

        reported = answer.problem is None
        assert reported or isinstance(answer.problem, LeaseLost)
        assert [ended.run_id for ended in reaped] == ([] if reported else [dispatch.run.id])
        assert dibs.state(dispatch.run.id) == ("finished" if reported else "pending")
        start.note(one_won=reported)

    start.check("report", "keeper")
    fault.injected(ROUNDS)
    fault.core(runs=ROUNDS)


@pytest.mark.fault("F4")
def test_a_renewal_and_the_keeper_never_both_get_a_lease(
    dibs: Dibs, neighbour: Dibs, start: HeadStart, fault: Fault
) -> None:
    for executor, dispatch in held_runs(dibs):
        let_expire(dibs, dispatch)

        answer, reaped = start.both(
            partial(dibs.renew, executor, dispatch), partial(reap, neighbour)
        )

        renewed = bool(answer.renewed)
        assert [ended.run_id for ended in reaped] == ([] if renewed else [dispatch.run.id])
        assert dibs.state(dispatch.run.id) == ("started" if renewed else "pending")
        start.note(one_won=renewed)

    start.check("renewal", "keeper")
    fault.injected(ROUNDS)
    fault.core(runs=ROUNDS)


@pytest.mark.fault("F52")
def test_an_abort_and_a_report_agree_how_the_run_ended(
    dibs: Dibs, neighbour: Dibs, start: HeadStart, fault: Fault
) -> None:
    def abort(dispatch: Dispatch) -> bool:
        try:
            neighbour.abort(dispatch.run.id)
        except RunOver:
            return False
        return True

    for executor, dispatch in held_runs(dibs):
        answer, aborted = start.both(
            partial(dibs.tell, dispatch, executor, "error", message="no", retryable=False),
            partial(abort, dispatch),
        )

        ended = "aborted" if aborted else "failed"
        assert answer.problem is None
        assert (answer.status, dibs.state(dispatch.run.id)) == (ended, ended)
        start.note(one_won=not aborted)

    start.check("report", "abort")
    fault.injected(ROUNDS)
    fault.core(runs=ROUNDS)


@pytest.mark.fault("F8")
def test_two_copies_of_a_claim_get_the_same_run_and_no_second_one(
    dibs: Dibs, neighbour: Dibs, start: HeadStart, fault: Fault
) -> None:
    executor = Executor("fleet:one")
    claimed = set()
    for number in range(ROUNDS):
        if number % BATCH == 0:
            queue = f"batch-{number}"
            create_batch(dibs, queue)
            create_batch(dibs, queue)
        wish = {"queues": (queue,), "request_id": uuid4(), "lease_seconds": LEASE_SECONDS}

        first, second = start.both(
            partial(dibs.claim, executor, **wish), partial(neighbour.claim, executor, **wish)
        )

        (one,), (other,) = first.dispatches, second.dispatches
        assert (one.run.id, one.lease.id) == (other.run.id, other.lease.id)
        assert first.replayed is not second.replayed
        claimed.add(one.run.id)
        start.note(one_won=second.replayed)

    leased = dibs.sql('SELECT id FROM "workflowRuns" WHERE "leaseId" IS NOT NULL')
    assert {row["id"] for row in leased} == claimed
    assert len(claimed) == ROUNDS
    start.check("one copy", "the other")
    fault.injected(ROUNDS)
    fault.core(runs=ROUNDS)


@pytest.mark.fault("F11")
def test_two_copies_of_a_report_are_stored_once_and_answered_alike(
    dibs: Dibs, neighbour: Dibs, start: HeadStart, fault: Fault
) -> None:
    for executor, dispatch in held_runs(dibs):
        first, second = start.both(
            partial(dibs.tell, dispatch, executor, "success"),
            partial(neighbour.tell, dispatch, executor, "success"),
        )

        assert (first.problem, second.problem) == (None, None)
        assert (first.status, second.status) == ("finished", "finished")
        assert first.replayed is not second.replayed
        assert dibs.events(dispatch.run.id) == ["created", "claimed", "reported"]
        start.note(one_won=second.replayed)

    start.check("one copy", "the other")
    fault.injected(ROUNDS)
    fault.core(runs=ROUNDS)

"""A run that is created while somebody is parked for it: one transaction creates and leases it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from orchestrator.desk import claim_desk
from orchestrator.desk.wishes import ClaimAnswer
from orchestrator.errors import IdempotencyKeyReused, OutcomeUnknown, Overloaded
from orchestrator.store import patience
from tests.acceptance.waiting import eventually
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.gathered import WAIT_SECONDS, commits
from tests.integration.wishes import QUEUE, Executor

Park = Callable[..., Future[ClaimAnswer]]


@pytest.fixture
def park(dibs: Dibs, executor: Executor) -> Iterator[Park]:
    """Let an executor wait for a run; who still does when the test is over is answered."""
    with ThreadPoolExecutor(8) as threads:

        def park(who: Executor = executor, **changes: Any) -> Future[ClaimAnswer]:
            places = dibs.desk.parked
            answer = threads.submit(dibs.claim, who, **{"wait_seconds": 25.0, **changes})
            eventually(lambda: dibs.desk.parked == places + 1)
            return answer

        try:
            yield park
        finally:
            dibs.draining.set()
            dibs.desk._serve_all()


def ids(answer: Future[ClaimAnswer]) -> list[UUID]:
    return [dispatch.run.id for dispatch in answer.result(WAIT_SECONDS).dispatches]


def limit(dibs: Dibs, queue: str = QUEUE) -> None:
    dibs.sql(
        """INSERT INTO queues (name, paused, "maxConcurrency", "changedAt")
           VALUES (%s, false, 1, now())
           ON CONFLICT (name) DO UPDATE SET "maxConcurrency" = 1""",
        queue,
    )


def transactions(dibs: Dibs, run_id: UUID) -> list[tuple[str, str]]:
    """The events of a run, each with the transaction that wrote it."""
    rows = dibs.sql(
        'SELECT kind, xmin::text AS xmin FROM "runEvents" WHERE "runId" = %s ORDER BY seq', run_id
    )
    return [(row["kind"], row["xmin"]) for row in rows]


def test_one_transaction_creates_the_run_and_leases_it(dibs: Dibs, park: Park) -> None:
    waiting = park()

    with commits(dibs.database.work) as committed:
        run = dibs.pending()
        assert ids(waiting) == [run.id]

    assert (run.run_state, dibs.state(run.id)) == ("pending", "loading")
    (created, by), (claimed, also_by) = transactions(dibs, run.id)
    assert (created, claimed, by) == ("created", "claimed", also_by)
    assert len(committed) == 1


def test_who_gets_it_is_answered_before_who_created_it_goes_on(
    dibs: Dibs, park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim_desk, "LET_GO_FIRST_SECONDS", WAIT_SECONDS)
    waiting = park()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(WAIT_SECONDS)  # Nobody goes on before another one waits.
    try:
        dibs.pending()
        answered = waiting.done()
    finally:
        sys.setswitchinterval(interval)

    assert answered


def test_who_has_waited_longest_gets_it_and_the_others_wait_on(
    dibs: Dibs, park: Park, executor: Executor, other: Executor
) -> None:
    first, second = park(executor), park(other)

    runs = [dibs.pending().id]
    assert ids(first) == runs
    assert (second.done(), dibs.desk.parked) == (False, 1)
    runs = [dibs.pending().id]
    assert ids(second) == runs


def test_the_bell_rings_for_what_nobody_has_claimed_alone(
    dibs: Dibs, park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Mapping[str, int]] = []
    monkeypatch.setattr(dibs.bell, "hear", lambda arrived: told.append(arrived) or {})
    waiting = park()

    claimed = dibs.pending()
    dibs.pending()

    assert ids(waiting) == [claimed.id]
    assert told == [{QUEUE: 1}]


def test_what_is_refused_calls_nobody(dibs: Dibs, park: Park) -> None:
    dibs.create(idempotency_key="once", request_hash=b"one")
    assert dibs.claim(Executor("fleet:before")).dispatches
    waiting = park()

    with pytest.raises(IdempotencyKeyReused):
        dibs.create(idempotency_key="once", request_hash=b"two")

    assert (waiting.done(), dibs.desk.parked) == (False, 1)


def test_a_run_that_is_due_later_calls_nobody(dibs: Dibs, park: Park) -> None:
    waiting = park()

    dibs.create(available_at=dibs.now() + timedelta(hours=1))

    assert (waiting.done(), dibs.desk.parked) == (False, 1)


def test_the_run_is_created_though_who_waits_is_to_get_nothing_any_more(
    dibs: Dibs, park: Park, executor: Executor, other: Executor
) -> None:
    waiting = park()
    dibs.sql(
        "INSERT INTO incidents (executor, session, number, at)"
        " VALUES (%s, %s, 1, clock_timestamp())",
        executor.name,
        executor.session,
    )

    run = dibs.pending()

    assert ids(waiting) == []
    assert [each.run.id for each in dibs.claim(other).dispatches] == [run.id]


def test_the_run_is_created_though_its_queue_has_limits_that_nobody_here_knew(
    dibs: Dibs, park: Park
) -> None:
    waiting = park()
    limit(dibs)

    run = dibs.pending()

    assert ids(waiting) == [run.id]


def test_the_run_is_created_though_somebody_holds_the_limits_of_its_queue(
    dibs: Dibs, park: Park, executor: Executor
) -> None:
    limit(dibs)
    # So that it is known here.
    dibs.claim(executor)
    waiting = park()
    with dibs.owner.transaction():
        dibs.sql("SELECT FROM queues WHERE name = %s FOR UPDATE", QUEUE)
        run = dibs.pending()
        assert not waiting.done()

    assert ids(waiting) == [run.id]


def test_the_run_is_created_at_once_though_a_copy_of_who_waits_is_being_served(
    dibs: Dibs, park: Park, executor: Executor
) -> None:
    request_id = uuid4()
    waiting = park(request_id=request_id)
    with dibs.owner.transaction():
        dibs.serve_a_copy(executor, request_id)
        run = dibs.pending()
        assert not waiting.done()

    assert ids(waiting) == [run.id]


def test_the_run_is_created_though_the_database_refuses_the_claim(dibs: Dibs, park: Park) -> None:
    waiting = park()
    dibs.sql("CREATE SEQUENCE refusals")
    dibs.sql("GRANT USAGE ON refusals TO PUBLIC")
    dibs.sql(
        """
        CREATE FUNCTION refuse_once() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF nextval('refusals') = 1 THEN
            RAISE EXCEPTION 'not this time' USING ERRCODE = '22000';
          END IF;
          RETURN NEW;
        END $$
        """
    )
    dibs.sql(
        'CREATE TRIGGER refuse_once BEFORE INSERT ON "claimRequests"'
        " FOR EACH ROW EXECUTE FUNCTION refuse_once()"
    )

    run = dibs.pending()

    assert ids(waiting) == [run.id]
    assert dibs.sql("SELECT last_value FROM refusals") == [{"last_value": 2}]
    assert len({xmin for _, xmin in transactions(dibs, run.id)}) == 2


def test_when_who_waits_gets_an_older_run_the_bell_rings_for_the_new_one(
    dibs: Dibs,
    park: Park,
    executor: Executor,
    other: Executor,
    database: Database,
    owner: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claim_desk, "LOOK_DEAF_SECONDS", 3600.0)
    first, second = park(executor), park(other)
    with closing(Dibs(database.service_url, owner)) as elsewhere:
        # Its ring is on its way.
        older = elsewhere.pending()

    newer = dibs.pending()

    assert ids(first) == [older.id]
    # Long before its own last look.
    eventually(second.done, within_seconds=WAIT_SECONDS / 6)
    assert ids(second) == [newer.id]


def test_who_asks_a_queue_with_limits_too_is_served_after_the_create(
    dibs: Dibs, park: Park, executor: Executor
) -> None:
    limit(dibs, "limited")
    # So that it is known here.
    dibs.claim(executor, queues=("limited",))
    waiting = park(queues=(QUEUE, "limited"))

    run = dibs.pending()

    assert ids(waiting) == [run.id]
    assert len({xmin for _, xmin in transactions(dibs, run.id)}) == 2


def test_one_create_claims_no_more_than_one_claim_may(
    dibs: Dibs, park: Park, executor: Executor, other: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim_desk, "RUNS_AT_ONCE", 5)
    first, second = park(executor, limit=3), park(other, limit=3)

    with dibs.desk.on_arrival() as arrival:
        called = arrival._call({QUEUE: 2})

    assert [each.wish.wish.executor for each in called] == [executor.name]
    dibs.desk._gathering.submit(called)
    runs = {dibs.pending().id, dibs.pending().id}
    assert {*ids(first), *ids(second)} == runs


def test_a_parked_claim_whose_time_was_up_while_a_create_failed_stops_nobody(
    dibs: Dibs, park: Park, other: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.5)
    waiting = park(wait_seconds=0.5)
    with suppress(Overloaded), dibs.desk.on_arrival() as arrival:
        arrival.called = arrival._call({QUEUE: 1})
        # A reconnect that takes longer than anybody has patience.
        assert isinstance(waiting.exception(WAIT_SECONDS), OutcomeUnknown)
        raise Overloaded("not now", retry_after_seconds=1)
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", float(WAIT_SECONDS))

    run = dibs.pending()
    assert [each.run.id for each in dibs.claim(other).dispatches] == [run.id]

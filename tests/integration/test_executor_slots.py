"""A registered executor holds twice its slots at most, whatever it asks for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import psycopg
import pytest

from orchestrator.desk.empty_answers import FULL_POLL_MS
from orchestrator.errors import RunNotClaimable, Unavailable
from orchestrator.lifecycle import MAX_INCIDENTS
from orchestrator.store import known_slots
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.gathered import WAIT_SECONDS, first_commit_held_up, patient, together
from tests.integration.statements import captured
from tests.integration.wishes import Executor

SLOTS = 4
MOST = 2 * SLOTS
COUNTS = 'AND r."lockedBy" = e."fullName"'


@pytest.fixture
def registered(dibs: Dibs, executor: Executor) -> Executor:
    dibs.register(executor)
    (row,) = dibs.sql("SELECT slots FROM executors")
    assert row["slots"] == SLOTS
    return executor


def fill(dibs: Dibs, runs: int) -> None:
    for _ in range(runs):
        dibs.pending()


def test_it_gets_twice_its_slots_and_then_nothing_at_once_until_it_reports(
    dibs: Dibs, registered: Executor
) -> None:
    fill(dibs, 2 * MOST)
    first = dibs.claim(registered, limit=5)
    rest = dibs.claim(registered, limit=50)
    full = dibs.claim(registered, limit=1, wait_seconds=20.0)

    assert (len(first.dispatches), len(rest.dispatches)) == (5, MOST - 5)
    assert (full.dispatches, full.next_poll_after_ms) == ((), FULL_POLL_MS)
    assert full.out_of_service is not None
    assert full.out_of_service.state == "full"
    assert f"held {MOST} runs" in (full.out_of_service.reason or "")
    dibs.tell(first.dispatches[0], registered, "success")
    again = dibs.claim(registered, limit=50)
    assert (len(again.dispatches), again.out_of_service) == (1, None)


def test_a_run_is_not_claimed_by_its_id_either(dibs: Dibs, registered: Executor) -> None:
    fill(dibs, MOST)
    dibs.claim(registered, limit=MOST)
    run = dibs.pending()

    with pytest.raises(RunNotClaimable, match=r"fleet:one is full\. It held 8 runs") as no:
        dibs.claim_run(registered, run.id)

    assert no.value.members["gate"] == "executor-not-serving"
    assert dibs.state(run.id) == "pending"


def test_what_is_claimed_by_id_counts(dibs: Dibs, registered: Executor) -> None:
    for _ in range(MOST - 1):
        dibs.dispatch(registered)
    fill(dibs, 5)

    assert len(dibs.claim(registered, limit=5).dispatches) == 1


def test_its_other_sessions_and_whoever_is_not_registered_are_not_bounded_by_it(
    dibs: Dibs, registered: Executor, other: Executor
) -> None:
    fill(dibs, 3 * MOST)
    dibs.claim(registered, limit=50)

    assert len(dibs.claim(Executor(registered.name), limit=MOST + 1).dispatches) == MOST + 1
    assert dibs.claim(other, limit=1).out_of_service is None


def test_one_that_does_not_say_how_many_slots_it_has_gets_what_it_asks_for(
    dibs: Dibs, executor: Executor
) -> None:
    dibs.register(executor, slots=None)
    fill(dibs, 20)

    assert len(dibs.claim(executor, limit=20).dispatches) == 20


def test_one_that_was_in_quarantine_and_never_registered_gets_what_it_asks_for(
    dibs: Dibs, executor: Executor
) -> None:
    for _ in range(MAX_INCIDENTS):
        lost = dibs.dispatch(executor, max_crashes=100)
        dibs.expire(lost.run.id)
        dibs.tick()
        dibs.abort(lost.run.id)
    dibs.set_executor(executor, "active")
    fill(dibs, 20)

    assert len(dibs.claim(executor, limit=20).dispatches) == 20


def test_two_requests_in_one_transaction_share_the_room(
    dibs: Dibs,
    database: Database,
    owner: psycopg.Connection,
    registered: Executor,
    other: Executor,
) -> None:
    fill(dibs, 4 * MOST)
    ask = partial(dibs.claim, registered, limit=6)
    with (
        patient(database, owner),
        together(
            dibs.database.work, dibs.desk._gathering, partial(dibs.claim, other), [ask, ask, ask]
        ) as answers,
    ):
        got = sorted(len(each.result(WAIT_SECONDS).dispatches) for each in answers)

    assert got == [0, 2, 6]


def test_what_a_commit_on_its_way_gives_is_counted(
    dibs: Dibs, database: Database, owner: psycopg.Connection, registered: Executor
) -> None:
    fill(dibs, 4 * MOST)
    with (
        patient(database, owner),
        ThreadPoolExecutor(1) as threads,
        first_commit_held_up(dibs.database.work) as (sent, may_go_on),
    ):
        committing = threads.submit(dibs.claim, registered, limit=MOST)
        assert sent.wait(WAIT_SECONDS)
        meanwhile = dibs.claim(registered, limit=MOST)
        may_go_on.set()

        assert len(committing.result(WAIT_SECONDS).dispatches) == MOST
        # It does not hold that yet, and so it is not told that it is full.
        assert (meanwhile.dispatches, meanwhile.out_of_service) == ((), None)
    assert dibs.claim(registered, limit=MOST).dispatches == ()


def test_what_was_not_given_is_left_for_the_next(dibs: Dibs, registered: Executor) -> None:
    with captured(dibs.database.work) as statements:
        for _ in range(5):
            fill(dibs, 1)
            assert len(dibs.claim(registered, limit=3).dispatches) == 1
        fill(dibs, MOST)
        assert len(dibs.claim(registered, limit=3).dispatches) == 3
    # It never held so much that three more might have been too much.
    assert sum(COUNTS in each.text for each in statements) == 1


def test_a_claim_that_failed_leaves_the_room_to_be_counted(
    dibs: Dibs, registered: Executor
) -> None:
    fill(dibs, MOST)
    dibs.sql('ALTER TABLE "claimRequests" RENAME TO elsewhere')
    with pytest.raises(Unavailable):
        dibs.claim(registered, limit=MOST)
    dibs.sql('ALTER TABLE elsewhere RENAME TO "claimRequests"')

    assert len(dibs.claim(registered, limit=MOST).dispatches) == MOST


def test_a_repeat_gets_what_the_first_got_though_it_is_full(
    dibs: Dibs, registered: Executor
) -> None:
    fill(dibs, 2 * MOST)
    request_id = uuid4()
    first = dibs.claim(registered, limit=MOST, request_id=request_id)
    again = dibs.claim(registered, limit=MOST, request_id=request_id)

    assert again.replayed
    assert [each.lease.id for each in again.dispatches] == [
        each.lease.id for each in first.dispatches
    ]


def test_whoever_is_not_registered_is_asked_about_once(dibs: Dibs, executor: Executor) -> None:
    fill(dibs, 5)
    with captured(dibs.database.work) as statements:
        for _ in range(5):
            dibs.claim(executor)

    assert sum(COUNTS in each.text for each in statements) == 1


def test_no_more_sessions_are_remembered_than_there_is_room_for(
    dibs: Dibs, registered: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_slots, "REMEMBERED_PROCESSES", 3)
    fill(dibs, MOST)
    dibs.claim(registered, limit=MOST)
    for number in range(5):
        dibs.claim(Executor(f"fleet:{number}"))

    assert len(dibs.database.slots._rooms) <= 3
    assert dibs.claim(registered, limit=MOST).dispatches == ()


def test_one_that_has_registered_elsewhere_is_bounded_soon(
    dibs: Dibs, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dibs, 2 * MOST)
    dibs.claim(executor)
    dibs.register(executor)
    assert len(dibs.claim(executor, limit=2).dispatches) == 2

    monkeypatch.setattr(known_slots, "ASKED_AGAIN_SECONDS", 0.0)

    assert len(dibs.claim(executor, limit=2 * MOST).dispatches) == MOST - 3

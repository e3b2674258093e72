"""Claims that come together: one transaction, dealt fairly, each answered its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text

from orchestrator.desk.creates import Wanted
from orchestrator.desk.wishes import ClaimAnswer
from orchestrator.errors import RequestIdReused
from tests.acceptance.waiting import eventually
from tests.database import Database, needs_a_session
from tests.integration.dibs import Dibs
from tests.integration.gathered import WAIT_SECONDS, commits, patient, together
from tests.integration.statements import captured
from tests.integration.wishes import Executor, new_run

Wish = dict[str, Any]
Together = Callable[..., AbstractContextManager[list[Future[ClaimAnswer]]]]

CLAIMS = "FOR UPDATE OF r SKIP LOCKED"


@pytest.fixture(autouse=True)
def slow_machine(database: Database, owner: psycopg.Connection) -> Iterator[None]:
    with patient(database, owner):
        yield


@pytest.fixture
def claim_together(dibs: Dibs) -> Together:
    """Let claims come together; each wish names its executor, or one of its own is made."""

    def claim_together(*wishes: Wish) -> AbstractContextManager[list[Future[ClaimAnswer]]]:
        works = [
            partial(dibs.claim, **{"executor": Executor(f"fleet:{number}"), **wish})
            for number, wish in enumerate(wishes)
        ]
        first = partial(dibs.claim, Executor("fleet:first"), queues=("empty",))
        return together(dibs.database.work, dibs.desk._gathering, first, works)

    return claim_together


@pytest.fixture
def answers(claim_together: Together) -> Callable[..., list[ClaimAnswer]]:
    """What claims that come together are answered."""

    def answers(*wishes: Wish) -> list[ClaimAnswer]:
        with claim_together(*wishes) as futures:
            return [future.result(WAIT_SECONDS) for future in futures]

    return answers


Answers = Callable[..., list[ClaimAnswer]]


def create(dibs: Dibs, number: int, **changes: Any) -> list[UUID]:
    """Pending runs, in the order in which they are claimed."""
    wanted = [Wanted(new_run(**changes), return_active=False) for _ in range(number)]
    return [made.run.id for made in dibs.creates.create(wanted)]


def runs_of(answer: ClaimAnswer) -> list[UUID]:
    return [dispatch.run.id for dispatch in answer.dispatches]


def leases_of(answer: ClaimAnswer) -> list[UUID]:
    return [dispatch.lease.id for dispatch in answer.dispatches]


def sizes(answers: list[ClaimAnswer]) -> list[int]:
    return [len(answer.dispatches) for answer in answers]


def next_transaction(dibs: Dibs) -> int:
    """The number of the next transaction that changes or locks anything."""
    (row,) = dibs.sql("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next")
    return int(row["next"])


def held(dibs: Dibs) -> set[UUID]:
    rows = dibs.sql("""SELECT id FROM "workflowRuns" WHERE "runState" = 'loading'""")
    return {row["id"] for row in rows}


def test_claims_that_come_together_are_one_statement_and_one_commit(
    dibs: Dibs, answers: Answers
) -> None:
    runs = create(dibs, 12)
    with captured(dibs.database.work) as statements, commits(dibs.database.work) as committed:
        got = answers(*[{"limit": 2}] * 6)

    assert sizes(got) == [2] * 6
    assert sorted(run for answer in got for run in runs_of(answer)) == sorted(runs)
    claims = [each for each in statements if CLAIMS in each.text]
    assert [len(each.values["limits"]) for each in claims] == [1, 6]
    # That of the first, which found nothing, and theirs.
    assert len(committed) == 2


def test_each_claim_is_kept_and_its_repeat_gets_the_same(dibs: Dibs, answers: Answers) -> None:
    create(dibs, 9)
    wishes = [
        {"executor": Executor(f"fleet:{number}"), "request_id": uuid4(), "limit": 2}
        for number in range(5)
    ]
    got = answers(*wishes)

    kept = {row["requestId"]: row for row in dibs.sql('SELECT * FROM "claimRequests"')}
    assert len(kept) == 5
    for wish, answer in zip(wishes, got, strict=True):
        row = kept[wish["request_id"]]
        assert (row["runIds"], row["leaseIds"]) == (runs_of(answer), leases_of(answer))
        assert (row["session"], bytes(row["bodyHash"])) == (wish["executor"].session, b"b" * 32)
        again = dibs.claim(**wish)
        assert (again.replayed, leases_of(again)) == (True, leases_of(answer))


@pytest.mark.parametrize(
    ("runs", "limits", "expected"),
    [
        (5, [3, 3, 3], [2, 2, 1]),
        (2, [5, 5, 5], [1, 1, 0]),
        (7, [1, 9, 2], [1, 4, 2]),
        (9, [2, 2], [2, 2]),
    ],
)
def test_nobody_gets_a_second_before_everybody_has_a_first(
    dibs: Dibs, answers: Answers, runs: int, limits: list[int], expected: list[int]
) -> None:
    create(dibs, runs)

    got = answers(*({"limit": limit} for limit in limits))

    # What is left after everybody's turn goes to those that have waited longest.
    assert sizes(got) == expected
    assert len(held(dibs)) == sum(expected)


def test_the_runs_are_dealt_in_turn_in_their_order(dibs: Dibs, answers: Answers) -> None:
    runs = create(dibs, 4)

    one, two = answers({"limit": 2}, {"limit": 2})

    assert (runs_of(one), runs_of(two)) == ([runs[0], runs[2]], [runs[1], runs[3]])


def test_each_gets_its_own_lease_from_its_own_queues(dibs: Dibs, answers: Answers) -> None:
    by_queue = {queue: create(dibs, 6, queue=queue) for queue in "abc"}
    queue_of = {run: queue for queue, runs in by_queue.items() for run in runs}
    wishes = [
        {"queues": ("a",), "limit": 1, "lease_seconds": 10},
        {"queues": ("b", "a"), "limit": 3, "lease_seconds": 20},
        {"queues": ("a", "b"), "limit": 2, "lease_seconds": 30},
        {"queues": ("c", "b", "a"), "limit": 4, "lease_seconds": 40},
        {"queues": ("nobody", "c"), "limit": 2, "lease_seconds": 50},
    ]
    executors = [Executor(f"fleet:{number}") for number in range(len(wishes))]

    got = answers(*({**wish, "executor": one} for wish, one in zip(wishes, executors, strict=True)))

    assert sizes(got) == [1, 3, 2, 4, 2]
    for wish, executor, answer in zip(wishes, executors, got, strict=True):
        for dispatch in answer.dispatches:
            row = dibs.row(dispatch.run.id)
            assert queue_of[dispatch.run.id] in wish["queues"]
            assert (row["lockedBy"], row["lockedSession"]) == (executor.name, executor.session)
            assert (row["leaseId"], row["leaseSeconds"]) == (
                dispatch.lease.id,
                wish["lease_seconds"],
            )
            assert dibs.events(dispatch.run.id) == ["created", "claimed"]
    claimed = [run for answer in got for run in runs_of(answer)]
    assert len(claimed) == len(set(claimed)) == 12
    assert set(claimed) == held(dibs)


def test_what_one_claim_gets_of_several_queues_is_kept_as_one_and_repeated_so(
    dibs: Dibs, answers: Answers
) -> None:
    runs = {run for queue in "abc" for run in create(dibs, 2, queue=queue)}
    wishes = [
        {
            "executor": Executor(f"fleet:{number}"),
            "request_id": uuid4(),
            "queues": queues,
            "limit": 3,
        }
        for number, queues in enumerate([("a", "b", "c"), ("c", "b", "a")])
    ]

    got = answers(*wishes)

    assert sizes(got) == [3, 3]
    assert {run for answer in got for run in runs_of(answer)} == runs
    for wish, answer in zip(wishes, got, strict=True):
        (row,) = dibs.sql(
            'SELECT * FROM "claimRequests" WHERE "requestId" = %s', wish["request_id"]
        )
        assert (row["runIds"], row["leaseIds"]) == (runs_of(answer), leases_of(answer))
        assert leases_of(dibs.claim(**wish)) == leases_of(answer)


def test_for_each_queue_and_round_there_is_one_statement(dibs: Dibs, answers: Answers) -> None:
    for queue in "ab":
        create(dibs, 10, queue=queue)
    with captured(dibs.database.work) as statements:
        answers(*[{"queues": ("a", "b"), "limit": 1}] * 6)

    claims = [each.values["queue"] for each in statements if CLAIMS in each.text]
    assert Counter(claims) == {"empty": 1, "a": 1, "b": 1}


def test_claims_that_find_nothing_together_keep_nothing(dibs: Dibs, answers: Answers) -> None:
    changes = []
    # More than once: autovacuum may do something just then.
    for _ in range(3):
        before = next_transaction(dibs)
        got = answers({}, {}, {})
        changes.append(next_transaction(dibs) - before)
        assert sizes(got) == [0, 0, 0]

    assert dibs.sql('SELECT FROM "claimRequests"') == []
    assert 0 in changes


def test_a_claim_that_finds_nothing_leaves_what_is_prepared(dibs: Dibs, executor: Executor) -> None:
    needs_a_session("statements that stay prepared")
    for _ in range(4):
        assert not dibs.claim(executor).dispatches

    with dibs.database.work.connect() as connection:
        prepared = connection.scalars(text("SELECT statement FROM pg_prepared_statements")).all()
    assert any("asked_queue" in statement for statement in prepared)


# One claim that is no plain one, and what becomes of it between two that are.


def test_a_repeat_gets_what_it_got_and_its_neighbours_get_runs(
    dibs: Dibs, answers: Answers, executor: Executor
) -> None:
    create(dibs, 5)
    wish = {"executor": executor, "request_id": uuid4(), "limit": 3}
    before = dibs.claim(**wish)

    with commits(dibs.database.work) as committed:
        one, repeat, other = answers({}, wish, {})

    # That of the first, which found nothing; the neighbours' own, and the repeat's by itself.
    assert len(committed) == 3
    assert (repeat.replayed, leases_of(repeat)) == (True, leases_of(before))
    assert sizes([one, other]) == [1, 1]
    assert len(held(dibs)) == 5


def test_a_request_id_with_another_body_is_refused_and_its_neighbours_get_runs(
    dibs: Dibs, claim_together: Together, executor: Executor
) -> None:
    create(dibs, 4)
    wish = {"executor": executor, "request_id": uuid4()}
    dibs.claim(**wish)

    with claim_together({}, {**wish, "body_hash": b"x" * 32, "limit": 3}, {}) as futures:
        one, reused, other = futures

        assert isinstance(reused.exception(WAIT_SECONDS), RequestIdReused)
        assert sizes([one.result(WAIT_SECONDS), other.result(WAIT_SECONDS)]) == [1, 1]
    assert len(held(dibs)) == 3


@pytest.mark.parametrize("state", ["draining", "quarantined"])
def test_an_executor_out_of_service_is_told_so_and_its_neighbours_get_the_runs(
    dibs: Dibs, answers: Answers, executor: Executor, state: str
) -> None:
    create(dibs, 2)
    dibs.register(executor)
    dibs.set_executor(executor, state)

    one, out, other = answers({}, {"executor": executor, "limit": 2}, {})

    assert sizes([one, out, other]) == [1, 0, 1]
    assert (out.out_of_service and out.out_of_service.state) == state
    assert one.out_of_service is other.out_of_service is None


def test_one_whose_copy_is_being_served_waits_and_its_neighbours_do_not(
    dibs: Dibs, claim_together: Together, executor: Executor
) -> None:
    create(dibs, 3)
    request_id = uuid4()
    with dibs.owner.transaction():
        dibs.serve_a_copy(executor, request_id)
        wishes = [{}, {"executor": executor, "request_id": request_id}, {}]
        with claim_together(*wishes) as (one, copy, other):
            assert sizes([one.result(WAIT_SECONDS), other.result(WAIT_SECONDS)]) == [1, 1]
            assert not copy.done()
            dibs.owner.execute("COMMIT")
            dibs.owner.execute("BEGIN")

            assert sizes([copy.result(WAIT_SECONDS)]) == [1]


def test_two_copies_that_come_together_get_one_claims_worth(
    dibs: Dibs, answers: Answers, executor: Executor
) -> None:
    create(dibs, 6)
    wish = {"executor": executor, "request_id": uuid4(), "limit": 2}

    one, first, second, other = answers({}, wish, wish, {})

    assert leases_of(first) == leases_of(second)
    assert sorted([first.replayed, second.replayed]) == [False, True]
    assert sizes([one, first, other]) == [1, 2, 1]
    assert len(held(dibs)) == 4


def test_two_bodies_of_one_request_that_come_together_one_is_refused(
    dibs: Dibs, claim_together: Together, executor: Executor
) -> None:
    create(dibs, 6)
    wish = {"executor": executor, "request_id": uuid4(), "limit": 2}
    with claim_together({}, wish, {**wish, "body_hash": b"x" * 32}, {}) as futures:
        one, first, second, other = futures

        refusals = [future.exception(WAIT_SECONDS) for future in (first, second)]
        assert [type(refusal) for refusal in refusals].count(RequestIdReused) == 1
        assert refusals.count(None) == 1
        assert sizes([one.result(), other.result()]) == [1, 1]
    assert len(held(dibs)) == 4


@pytest.mark.fault("F40")
def test_a_run_that_somebody_holds_locked_is_skipped_for_all(dibs: Dibs, answers: Answers) -> None:
    locked, *free = create(dibs, 4)
    with dibs.owner.transaction():
        dibs.sql('SELECT FROM "workflowRuns" WHERE id = %s FOR UPDATE', locked)
        got = answers({"limit": 2}, {"limit": 2}, {"limit": 2})

    assert sizes(got) == [1, 1, 1]
    assert held(dibs) == set(free)


def test_what_one_presumed_dead_was_dealt_goes_to_the_living_that_wait_beside_it(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    lost, theirs = dibs.dispatch(executor), dibs.dispatch(Executor("fleet:gone"))
    with ThreadPoolExecutor(2) as threads:
        futures = []
        for number, one in enumerate((executor, other), 1):
            futures.append(threads.submit(dibs.claim, one, wait_seconds=30.0))
            eventually(lambda number=number: dibs.desk.parked == number)
        for dispatch in (lost, theirs):
            dibs.expire(dispatch.run.id)
        dibs.tick()
        dead, living = (future.result(WAIT_SECONDS) for future in futures)

    assert sizes([dead, living]) == [0, 1]
    assert (dead.replayed, dead.out_of_service) == (False, None)
    assert len(held(dibs)) == 1
    assert dibs.sql("""SELECT FROM "claimRequests" WHERE session = %s""", executor.session) == []


def test_no_more_than_a_thousand_runs_are_claimed_in_one_transaction(
    dibs: Dibs, answers: Answers
) -> None:
    with captured(dibs.database.work) as statements:
        answers({"limit": 500}, {"limit": 400}, {"limit": 200}, {"limit": 500})

    claims = [each.values["limits"] for each in statements if CLAIMS in each.text]
    # The last leads; whoever has waited longest is served with it; then the others.
    assert claims == [[1], [500, 500], [400, 200]]

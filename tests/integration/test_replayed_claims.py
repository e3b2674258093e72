"""A repeated claim gets what the first one did, and never more."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import Connection

from orchestrator.errors import LeaseLost, RequestIdReused
from orchestrator.store import claims
from tests.integration.blocking import waits_for_a_lock
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor


def test_a_repeat_gets_the_same_runs_under_the_same_leases(dibs: Dibs, executor: Executor) -> None:
    for _ in range(4):
        dibs.pending()
    request_id = uuid4()
    first = dibs.claim(executor, limit=2, request_id=request_id)

    second = dibs.claim(executor, limit=2, request_id=request_id)

    assert second.replayed
    assert [each.run.id for each in second.dispatches] == [each.run.id for each in first.dispatches]
    assert [each.lease.id for each in second.dispatches] == [
        each.lease.id for each in first.dispatches
    ]
    assert second.dispatches[0].lease.expires_at > first.dispatches[0].lease.expires_at
    assert dibs.events(first.dispatches[0].run.id) == ["created", "claimed"]


def test_a_repeat_gets_only_the_leases_that_still_live(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    for _ in range(3):
        dibs.pending()
    request_id = uuid4()
    gone, kept = dibs.claim(executor, limit=2, request_id=request_id).dispatches
    dibs.release(executor, gone)
    dibs.claim(other, limit=5)

    answer = dibs.claim(executor, limit=2, request_id=request_id)

    assert [each.lease.id for each in answer.dispatches] == [kept.lease.id]


def test_a_repeat_after_all_is_over_gets_nothing_and_no_new_run(
    dibs: Dibs, executor: Executor
) -> None:
    request_id = uuid4()
    dibs.pending()
    (dispatch,) = dibs.claim(executor, request_id=request_id).dispatches
    dibs.tell(dispatch, executor, "success")
    waiting = dibs.pending()

    answer = dibs.claim(executor, request_id=request_id, wait_seconds=20)

    assert (answer.replayed, list(answer.dispatches)) == (True, [])
    assert dibs.state(waiting.id) == "pending"


def test_another_body_under_the_same_request_id_is_refused(dibs: Dibs, executor: Executor) -> None:
    request_id = uuid4()
    dibs.pending()
    dibs.claim(executor, request_id=request_id)

    with pytest.raises(RequestIdReused):
        dibs.claim(executor, request_id=request_id, body_hash=b"x" * 32)


def test_the_same_request_id_of_another_token_is_another_claim(
    dibs: Dibs, executor: Executor, stranger: Executor
) -> None:
    request_id = uuid4()
    dibs.pending()
    dibs.pending()
    (mine,) = dibs.claim(executor, request_id=request_id).dispatches

    (theirs,) = dibs.claim(stranger, request_id=request_id).dispatches

    assert mine.run.id != theirs.run.id


def test_nobody_is_given_the_lease_of_another_token(
    dibs: Dibs, executor: Executor, stranger: Executor
) -> None:
    dispatch = dibs.dispatch(executor)

    def ask(connection: Connection, token_name: str) -> int:
        return len(
            claims.still_held(
                connection,
                token_name=token_name,
                run_ids=[dispatch.run.id],
                lease_ids=[dispatch.lease.id],
                lease_seconds=30,
            )
        )

    with dibs.database.work.begin() as connection:
        assert ask(connection, stranger.token) == 0
        assert ask(connection, executor.token) == 1


def test_what_a_run_is_handed_out_for_is_not_told_under_the_lease_before(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    """It may have been taken between the two looks at why a report was refused."""
    first = dibs.dispatch(executor)
    dibs.release(executor, first)
    second, _ = dibs.claim_run(other, first.run.id)

    with dibs.database.leases.begin() as connection:
        told = [
            claims.held_dispatches(connection, run_ids=[first.run.id], lease_ids=[each.lease.id])
            for each in (first, second)
        ]

    assert [list(each) for each in told] == [[], [first.run.id]]


def test_a_claim_that_found_nothing_may_be_asked_again_under_its_id(
    dibs: Dibs, executor: Executor
) -> None:
    request_id = uuid4()
    nothing = dibs.claim(executor, request_id=request_id)
    run = dibs.pending()

    answer = dibs.claim(executor, request_id=request_id, body_hash=b"x" * 32)

    assert nothing.dispatches == ()
    assert [each.run.id for each in answer.dispatches] == [run.id]
    assert not answer.replayed


def test_two_copies_at_once_get_one_claims_worth(dibs: Dibs, executor: Executor) -> None:
    for _ in range(6):
        dibs.pending()
    request_id = uuid4()
    barrier = threading.Barrier(2)

    def copy() -> list[object]:
        barrier.wait()
        return [
            each.lease.id
            for each in dibs.claim(executor, limit=3, request_id=request_id).dispatches
        ]

    with ThreadPoolExecutor(2) as copies:
        first, second = (future.result() for future in [copies.submit(copy) for _ in range(2)])

    assert first == second
    assert len(first) == 3
    assert len(dibs.sql("""SELECT id FROM "workflowRuns" WHERE "runState" = 'loading'""")) == 3


def test_the_second_copy_waits_for_the_first_ones_commit(dibs: Dibs, executor: Executor) -> None:
    run = dibs.pending()
    request_id = uuid4()
    with dibs.owner.transaction(force_rollback=True):
        # The first copy: it has written its request down and not committed.
        dibs.sql(
            'INSERT INTO "claimRequests" ("tokenName", "requestId", session, "bodyHash", at)'
            " VALUES (%s, %s, %s, %s, now())",
            executor.token,
            request_id,
            executor.session,
            b"b" * 32,
        )
        with ThreadPoolExecutor(1) as copies:
            second = copies.submit(dibs.claim, executor, request_id=request_id)
            waited = waits_for_a_lock(dibs.owner)
            before = dibs.state(run.id)
            # It fails, so the second copy is the one that claims.
            dibs.owner.execute("ROLLBACK")
            answer = second.result(10)
            dibs.owner.execute("BEGIN")

    assert waited
    assert before == "pending"
    assert [each.run.id for each in answer.dispatches] == [run.id]
    assert not answer.replayed


def test_a_repeated_claim_by_id_gets_the_same_lease(dibs: Dibs, executor: Executor) -> None:
    run = dibs.pending()
    request_id = uuid4()
    first, _ = dibs.claim_run(executor, run.id, request_id=request_id)

    second, replayed = dibs.claim_run(executor, run.id, request_id=request_id)

    assert (second.lease.id, replayed) == (first.lease.id, True)


def test_a_repeated_claim_by_id_that_lost_its_lease_is_told_so(
    dibs: Dibs, executor: Executor
) -> None:
    run = dibs.pending()
    request_id = uuid4()
    first, _ = dibs.claim_run(executor, run.id, request_id=request_id)
    dibs.release(executor, first)

    with pytest.raises(LeaseLost):
        dibs.claim_run(executor, run.id, request_id=request_id)
    assert dibs.state(run.id) == "pending"


def test_a_refresh_does_not_outlast_an_abort(dibs: Dibs, executor: Executor) -> None:
    run = dibs.pending()
    request_id = uuid4()
    dibs.claim_run(executor, run.id, request_id=request_id, lease_seconds=10)
    dibs.abort(run.id)

    dibs.claim_run(executor, run.id, request_id=request_id, lease_seconds=600)

    row = dibs.row(run.id)
    assert (row["leaseExpiresAt"] - row["abortRequestedAt"]).total_seconds() <= 10


def test_two_parked_copies_both_get_the_run_that_comes(dibs: Dibs, executor: Executor) -> None:
    """One of them was sent over a connection that is lost: nobody reads its answer."""
    request_id = uuid4()
    with ThreadPoolExecutor(2) as threads:
        copies = [
            threads.submit(dibs.claim, executor, request_id=request_id, wait_seconds=20)
            for _ in range(2)
        ]
        while dibs.desk.parked < 2:
            assert not any(copy.done() for copy in copies)
        run = dibs.pending()
        answers = [copy.result() for copy in copies]

    assert [[each.run.id for each in one.dispatches] for one in answers] == [[run.id], [run.id]]
    assert sorted(one.replayed for one in answers) == [False, True]
    assert answers[0].dispatches[0].lease.id == answers[1].dispatches[0].lease.id


def test_a_parked_copy_is_answered_with_what_another_copy_got(
    dibs: Dibs, executor: Executor
) -> None:
    """When it looks, the run is gone already: only the request says that it was for this one."""
    request_id = uuid4()
    with ThreadPoolExecutor(1) as thread:
        parked = thread.submit(dibs.claim, executor, request_id=request_id, wait_seconds=20)
        while not dibs.desk.parked:
            assert not parked.done()
        run = dibs.pending()
        other = dibs.claim(executor, request_id=request_id)
        answer = parked.result()

    assert [each.run.id for each in answer.dispatches] == [run.id]
    assert answer.dispatches[0].lease.id == other.dispatches[0].lease.id

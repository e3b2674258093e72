"""Races: whoever comes at the same instant, one effect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext

from orchestrator.errors import LeaseLost, RunHeld
from orchestrator.store import endings
from orchestrator.store.transaction import transact
from tests.chaos.size import sized
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.racing import at_once, both_at_once
from tests.integration.wishes import Executor, outcome

THREADS = 64


@pytest.fixture
def crowded(database: Database, owner: psycopg.Connection, dibs: Dibs) -> Iterator[Dibs]:
    """An orchestrator that serves 64 requests at once."""
    with closing(Dibs(database.service_url, owner, connections=THREADS)) as crowded:
        yield crowded


@pytest.mark.fault("F6")
def test_of_64_claims_at_once_by_poll_and_by_id_one_gets_the_run(crowded: Dibs) -> None:
    executors = [Executor(f"fleet:{number}") for number in range(THREADS)]

    def poll(executor: Executor, _: UUID) -> str | None:
        return executor.name if crowded.claim(executor).dispatches else None

    def by_id(executor: Executor, run_id: UUID) -> str | None:
        try:
            crowded.claim_run(executor, run_id)
        except RunHeld:
            return None
        return executor.name

    for _ in range(sized(50, 200)):
        run = crowded.pending()

        answers = at_once(
            *(
                partial(poll if number % 2 else by_id, executor, run.id)
                for number, executor in enumerate(executors)
            )
        )

        assert [name for name in answers if name] == [crowded.row(run.id)["lockedBy"]]


@pytest.mark.fault("F7")
def test_of_64_resumes_with_input_at_once_one_gets_the_run(
    crowded: Dibs, executor: Executor
) -> None:
    def resume(number: int, run_id: UUID) -> bool:
        try:
            crowded.claim_run(Executor(f"fleet:{number}"), run_id, input_json=str(number))
        except RunHeld:
            return False
        return True

    for _ in range(10):
        waiting = crowded.dispatch(executor)
        crowded.tell(waiting, executor, "awaiting-input", waiting_for='{"reason": "input"}')

        won = at_once(*(partial(resume, number, waiting.run.id) for number in range(THREADS)))

        assert won.count(True) == 1
        row = crowded.row(waiting.run.id)
        assert row["resumeInput"] == won.index(True)
        assert row["lockedBy"] == f"fleet:{won.index(True)}"


@pytest.mark.fault("F5")
def test_a_report_and_an_expiry_at_the_same_instant_have_one_effect(
    dibs: Dibs, executor: Executor
) -> None:
    reported = 0
    for _ in range(200):
        dispatch = dibs.dispatch(executor)
        dibs.expire(dispatch.run.id)
        dibs.set_keeper(awake=True)
        dibs.forgive()

        answer, _ = both_at_once(
            partial(dibs.tell, dispatch, executor, "success"),
            # The statement alone: a whole beat of the keeper would nearly always be late.
            partial(
                transact, dibs.database.leases, partial(endings.expire, since=dibs.now(), limit=1)
            ),
        )

        state = dibs.state(dispatch.run.id)
        if answer.problem is None:
            assert state == "finished"
            reported += 1
        else:
            assert isinstance(answer.problem, LeaseLost)
            assert state == "pending"
            dibs.abort(dispatch.run.id)

    assert 0 < reported < 200, "one side always won: this was no race"


@pytest.mark.fault("F52")
def test_an_abort_and_a_report_at_the_same_instant_agree(dibs: Dibs, executor: Executor) -> None:
    aborted_first = 0
    for _ in range(200):
        dispatch = dibs.dispatch(executor)

        answer, run = both_at_once(
            partial(dibs.tell, dispatch, executor, "error", message="no"),
            partial(dibs.abort, dispatch.run.id),
        )

        state = dibs.state(dispatch.run.id)
        assert state == "aborted"
        # Either the abort came first and the report ended the run, or the run was
        # waiting for its next try and was aborted there.
        assert (answer.status, run.run_state) in {
            ("aborted", "loading"),
            ("scheduled", "aborted"),
        }
        aborted_first += answer.status == "aborted"

    assert 0 < aborted_first < 200, "one side always won: this was no race"


@pytest.mark.fault("F46")
def test_batches_in_opposite_order_do_not_deadlock(dibs: Dibs, executor: Executor) -> None:
    failures: list[str] = []

    def note(context: ExceptionContext) -> None:
        failures.append(type(context.original_exception).__name__)

    # A deadlock is repeated and leaves no other trace than a lost second.
    event.listen(dibs.database.leases, "handle_error", note)
    for _ in range(20):
        for _ in range(40):
            dibs.pending()
        dispatches = dibs.claim(executor, limit=40).dispatches
        told = [outcome(dispatch, executor, "success") for dispatch in dispatches]

        renewed, reported = both_at_once(
            partial(dibs.renew, executor, *dispatches), partial(dibs.report, *told[::-1])
        )

        assert len(renewed.renewed) + len(renewed.lost) == 40
        assert [answer.status for answer in reported] == ["finished"] * 40
    assert failures == []


def test_claims_at_once_share_the_backlog_without_overlap(crowded: Dibs) -> None:
    runs = {crowded.pending().id for _ in range(400)}

    def share(number: int) -> list[UUID]:
        answer = crowded.claim(Executor(f"fleet:{number}"), limit=20)
        return [dispatch.run.id for dispatch in answer.dispatches]

    shares = at_once(*(partial(share, number) for number in range(20)))

    claimed = [run_id for share in shares for run_id in share]
    assert len(claimed) == len(set(claimed))
    assert set(claimed) <= runs
    assert max(map(len, shares)) <= 20

"""Races: whoever comes at the same instant, one effect."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar
from uuid import uuid4

import psycopg
import pytest

from orchestrator.errors import DibsError, LeaseLost, RunHeld
from tests.database import Database
from tests.integration.dibs import Dibs, Executor

Result = TypeVar("Result")

THREADS = 64


@pytest.fixture
def crowded(database: Database, owner: psycopg.Connection, dibs: Dibs) -> Iterator[Dibs]:
    """An orchestrator that serves 64 requests at once."""
    with closing(Dibs(database.service_url, owner, connections=THREADS)) as crowded:
        yield crowded


def at_once(*works: Callable[[], Result]) -> list[Result]:
    """Begin all of them at the same instant; their results in the same order."""
    barrier = threading.Barrier(len(works))

    def begin(work: Callable[[], Result]) -> Result:
        barrier.wait(30)
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return [future.result() for future in [threads.submit(begin, work) for work in works]]


def test_of_64_claims_at_once_by_poll_and_by_id_one_gets_the_run(crowded: Dibs) -> None:
    executors = [Executor(f"fleet:{number}") for number in range(THREADS)]

    for _ in range(50):
        run = crowded.pending()

        def poll(executor: Executor) -> str | None:
            return executor.name if crowded.claim(executor).dispatches else None

        def by_id(executor: Executor, run_id: object = run.id) -> str | None:
            try:
                crowded.claim_run(executor, run_id)  # type: ignore[arg-type]
            except RunHeld:
                return None
            return executor.name

        winners = [
            name
            for name in at_once(
                *(
                    lambda executor=executor, way=(poll if number % 2 else by_id): way(executor)
                    for number, executor in enumerate(executors)
                )
            )
            if name
        ]

        assert winners == [crowded.row(run.id)["lockedBy"]]


def test_of_64_resumes_with_input_at_once_one_gets_the_run(
    crowded: Dibs, executor: Executor
) -> None:
    for _ in range(10):
        waiting = crowded.dispatch(executor)
        crowded.tell(waiting, executor, "awaiting-input", waiting_for='{"reason": "input"}')

        def resume(number: int, run_id: object = waiting.run.id) -> bool:
            try:
                crowded.claim_run(
                    Executor(f"fleet:{number}"),
                    run_id,  # type: ignore[arg-type]
                    input_json=str(number),
                )
            except RunHeld:
                return False
            return True

        won = at_once(*(lambda number=number: resume(number) for number in range(THREADS)))

        assert won.count(True) == 1
        row = crowded.row(waiting.run.id)
        assert row["resumeInput"] == won.index(True)
        assert row["lockedBy"] == f"fleet:{won.index(True)}"


def test_a_report_and_an_expiry_at_the_same_instant_have_one_effect(
    dibs: Dibs, executor: Executor
) -> None:
    reported = 0
    for _ in range(200):
        dispatch = dibs.dispatch(executor)
        dibs.expire(dispatch.run.id)
        # The keeper's row is made ready before the race begins.
        dibs.sql("UPDATE keeper SET \"lastTickAt\" = clock_timestamp() - interval '1 s'")

        answer, _ = at_once(
            lambda dispatch=dispatch: dibs.tell(dispatch, executor, "success"),
            lambda: dibs.beat(),
        )

        state = dibs.state(dispatch.run.id)
        if answer is not None and answer.problem is None:
            assert state == "finished"
            reported += 1
        else:
            assert isinstance(answer.problem, LeaseLost)
            assert state == "pending"
            dibs.abort(dispatch.run.id)

    assert 0 < reported < 200, "one side always won: this was no race"


def test_an_abort_and_a_report_at_the_same_instant_agree(dibs: Dibs, executor: Executor) -> None:
    aborted_first = 0
    for _ in range(200):
        dispatch = dibs.dispatch(executor)

        def abort(run_id: object = dispatch.run.id) -> str:
            try:
                return dibs.abort(run_id).run_state  # type: ignore[arg-type]
            except DibsError as refusal:
                return refusal.code

        answer, said = at_once(
            lambda dispatch=dispatch: dibs.tell(dispatch, executor, "error", message="no").status,
            abort,
        )

        state = dibs.state(dispatch.run.id)
        assert state == "aborted"
        # Either the abort came first and the report ended the run, or the run was
        # waiting for its next try and was aborted there.
        assert (answer, said) in {("aborted", "loading"), ("scheduled", "aborted")}
        aborted_first += answer == "aborted"

    assert 0 < aborted_first < 200, "one side always won: this was no race"


def test_batches_of_reports_in_opposite_order_do_not_deadlock(
    dibs: Dibs, executor: Executor
) -> None:
    for _ in range(20):
        for _ in range(40):
            dibs.pending()
        dispatches = dibs.claim(executor, limit=40).dispatches

        renewed, released = at_once(
            lambda dispatches=dispatches: len(dibs.renew(executor, *dispatches).renewed),
            lambda dispatches=dispatches: len(dibs.release(executor, *dispatches[::-1]).released),
        )

        assert renewed in range(41)
        assert released == 40


def test_claims_at_once_share_the_backlog_without_overlap(crowded: Dibs) -> None:
    runs = {crowded.pending().id for _ in range(400)}

    shares = at_once(
        *(
            lambda number=number: [
                dispatch.run.id
                for dispatch in crowded.claim(
                    Executor(f"fleet:{number}"), limit=20, request_id=uuid4()
                ).dispatches
            ]
            for number in range(20)
        )
    )

    claimed = [run_id for share in shares for run_id in share]
    assert len(claimed) == len(set(claimed))
    assert set(claimed) <= runs
    assert max(map(len, shares)) <= 20

"""Reports of many requests that are stored together: each gets exactly its own answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from orchestrator.desk.creates import Wanted
from orchestrator.desk.report_desk import ReportAnswer
from orchestrator.errors import LeaseLost, OutcomeConflict, StepOutOfOrder, ValidationFailed
from orchestrator.store.records import Dispatch
from orchestrator.store.reports import Report
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.gathered import WAIT_SECONDS, commits, patient, together
from tests.integration.statements import captured
from tests.integration.wishes import Executor, new_run, outcome

REQUESTS = 100
CANNOT_BE_STORED = {
    "class 22": {"status": "success", "output": r'"\u0000"'},
    "class 23": {"status": "later", "available_at": None},
}

Asked = Future[list[ReportAnswer]]
Together = Callable[[Sequence[Sequence[Report]]], AbstractContextManager[list[Asked]]]


@pytest.fixture(autouse=True)
def slow_machine(database: Database, owner: psycopg.Connection) -> Iterator[None]:
    with patient(database, owner):
        yield


@pytest.fixture
def report_together(dibs: Dibs) -> Together:
    """Let requests with these reports come together."""

    def report_together(
        requests: Sequence[Sequence[Report]],
    ) -> AbstractContextManager[list[Asked]]:
        nobodys = Report("nobody", uuid4(), uuid4(), 0, "success", b"h" * 32, output="{}")
        works = [partial(dibs.report, *told) for told in requests]
        first = partial(dibs.report, nobodys)
        return together(dibs.database.leases, dibs.reports._gathering, first, works)

    return report_together


@pytest.fixture
def dispatches(dibs: Dibs, executor: Executor) -> list[Dispatch]:
    """A run for each request, all held by one executor."""
    wanted = [Wanted(new_run(), return_active=False) for _ in range(REQUESTS)]
    dibs.creates.create(wanted)
    return list(dibs.claim(executor, limit=REQUESTS).dispatches)


def single(future: Asked) -> ReportAnswer:
    (answer,) = future.result(WAIT_SECONDS)
    return answer


def said(answer: ReportAnswer) -> tuple[str, bool, type | None]:
    problem = type(answer.problem) if answer.problem else None
    return (answer.status, answer.replayed, problem)


STORED = ("finished", False, None)
REPLAYED = ("finished", True, None)
SKIPPING = "SKIP LOCKED"


def test_the_reports_of_a_hundred_requests_are_stored_with_one_commit(
    dibs: Dibs, executor: Executor, dispatches: list[Dispatch], report_together: Together
) -> None:
    told = [[outcome(each, executor, "success", output=f'"{each.run.id}"')] for each in dispatches]
    with (
        commits(dibs.database.leases) as committed,
        captured(dibs.database.leases) as statements,
        report_together(told) as futures,
    ):
        answers = [single(future) for future in futures]

    # The first, which held up the others, and theirs.
    assert len(committed) == 2
    assert sum(SKIPPING in each.text for each in statements) == 2
    assert [said(answer) for answer in answers] == [STORED] * REQUESTS
    for dispatch, answer in zip(dispatches, answers, strict=True):
        assert answer.run_id == dispatch.run.id
        assert dibs.row(dispatch.run.id)["output"] == str(dispatch.run.id)


def test_every_kind_of_answer_in_one_batch_reaches_its_own_request(
    dibs: Dibs,
    executor: Executor,
    stranger: Executor,
    dispatches: list[Dispatch],
    report_together: Together,
) -> None:
    tell = partial(outcome, executor=executor, status="success")
    told: dict[int, list[Report]] = {
        number: [tell(dispatch)] for number, dispatch in enumerate(dispatches)
    }
    expected: dict[int, list[tuple[str, bool, type | None]]] = {number: [STORED] for number in told}

    def expect(number: int, reports: list[Report], *answers: tuple[str, bool, type | None]) -> None:
        told[number], expected[number] = reports, list(answers)

    def refused(kind: type) -> tuple[str, bool, type]:
        return ("refused", False, kind)

    dibs.report(*told[3], *told[4])
    expect(3, told[3], REPLAYED)
    expect(4, [tell(dispatches[4], output='"other"')], refused(OutcomeConflict))
    expect(17, [tell(dispatches[17], lease_id=uuid4())], refused(LeaseLost))
    expect(18, [tell(dispatches[18], run_id=uuid4())], refused(LeaseLost))
    expect(19, [tell(dispatches[19], executor=stranger)], refused(LeaseLost))
    expect(30, [tell(dispatches[30], step_index=1)], refused(StepOutOfOrder))
    expect(31, [tell(dispatches[31], status="error", message="no")], ("scheduled", False, None))
    expect(
        32,
        [tell(dispatches[32], status="error", message="no", retryable=False)],
        ("failed", False, None),
    )
    expect(33, [tell(dispatches[33], status="unknown", message="?")], ("waiting", False, None))
    dibs.abort(dispatches[34].run.id)
    expect(34, [tell(dispatches[34], status="error", message="no")], ("aborted", False, None))
    # One run twice in one request, with another beside it.
    expect(
        50,
        [tell(dispatches[50]), tell(dispatches[51]), tell(dispatches[50]), tell(dispatches[17])],
        STORED,
        STORED,
        REPLAYED,
        STORED,
    )
    del told[51]
    numbers = sorted(told)

    with report_together([told[number] for number in numbers]) as futures:
        answers = {
            number: [said(answer) for answer in future.result(WAIT_SECONDS)]
            for number, future in zip(numbers, futures, strict=True)
        }

    assert answers == {number: expected[number] for number in numbers}
    for number in (17, 18, 19, 30):
        expected_state = "finished" if number == 17 else "loading"
        assert dibs.state(dispatches[number].run.id) == expected_state


def test_of_one_run_told_by_two_requests_alike_one_is_stored_and_one_replayed(
    dibs: Dibs, executor: Executor, dispatches: list[Dispatch], report_together: Together
) -> None:
    one, twice, other = dispatches[:3]
    told = [[outcome(each, executor, "success")] for each in (one, twice, twice, other)]
    with report_together(told) as futures:
        first, second, third, fourth = (said(single(future)) for future in futures)

    assert [first, fourth] == [STORED, STORED]
    assert sorted([second, third]) == sorted([STORED, REPLAYED])
    assert dibs.events(twice.run.id).count("reported") == 1


def test_of_one_run_told_by_two_requests_unlike_one_is_stored_and_one_a_conflict(
    dibs: Dibs, executor: Executor, dispatches: list[Dispatch], report_together: Together
) -> None:
    one, twice, other = dispatches[:3]
    told = [
        [outcome(one, executor, "success")],
        [outcome(twice, executor, "success", output="1")],
        [outcome(twice, executor, "success", output="2"), outcome(other, executor, "success")],
    ]
    with report_together(told) as futures:
        first, second, third = (future.result(WAIT_SECONDS) for future in futures)

    assert [said(first[0]), said(third[1])] == [STORED, STORED]
    kinds = {said(second[0]), said(third[0])}
    assert kinds == {STORED, ("refused", False, OutcomeConflict)}
    won = 1 if said(second[0]) == STORED else 2
    assert dibs.row(twice.run.id)["output"] == won


@pytest.mark.parametrize("kind", CANNOT_BE_STORED)
def test_a_value_that_the_database_refuses_is_refused_and_its_99_neighbours_are_stored(
    dibs: Dibs,
    executor: Executor,
    dispatches: list[Dispatch],
    report_together: Together,
    kind: str,
) -> None:
    told = [[outcome(each, executor, "success")] for each in dispatches]
    bad: dict[str, Any] = CANNOT_BE_STORED[kind]
    told[41] = [outcome(dispatches[41], executor, **bad)]
    with report_together(told) as futures:
        answers = [said(single(future)) for future in futures]

    assert answers.pop(41) == ("refused", False, ValidationFailed)
    assert answers == [STORED] * (REQUESTS - 1)
    assert dibs.state(dispatches[41].run.id) == "loading"


def test_a_request_with_a_value_that_is_refused_stores_its_other_reports(
    dibs: Dibs, executor: Executor, dispatches: list[Dispatch], report_together: Together
) -> None:
    plain = [outcome(each, executor, "success") for each in dispatches[:6]]
    bad = outcome(dispatches[6], executor, **CANNOT_BE_STORED["class 22"])
    with report_together([plain[:2], [plain[2], bad, plain[3]], plain[4:]]) as futures:
        answers = [[said(each) for each in future.result(WAIT_SECONDS)] for future in futures]

    assert answers == [
        [STORED] * 2,
        [STORED, ("refused", False, ValidationFailed), STORED],
        [STORED] * 2,
    ]


def test_a_run_whose_row_is_locked_holds_up_its_own_request_and_no_other(
    dibs: Dibs, executor: Executor, dispatches: list[Dispatch], report_together: Together
) -> None:
    told = [[outcome(each, executor, "success")] for each in dispatches]
    with dibs.owner.transaction():
        dibs.sql('SELECT FROM "workflowRuns" WHERE id = %s FOR UPDATE', dispatches[41].run.id)
        with report_together(told) as futures:
            locked = futures.pop(41)
            answers = [said(single(future)) for future in futures]
            before = locked.done()
            dibs.owner.execute("COMMIT")
            dibs.owner.execute("BEGIN")
            last = said(single(locked))

    assert answers == [STORED] * (REQUESTS - 1)
    assert (before, last) == (False, STORED)


def test_a_run_whose_row_is_locked_by_whoever_takes_it_away_is_lost_in_the_end(
    dibs: Dibs, executor: Executor, dispatches: list[Dispatch], report_together: Together
) -> None:
    told = [[outcome(each, executor, "success")] for each in dispatches[:3]]
    taken = dispatches[1].run.id
    with dibs.owner.transaction():
        dibs.sql('SELECT FROM "workflowRuns" WHERE id = %s FOR UPDATE', taken)
        with report_together(told) as futures:
            one, locked, other = futures
            assert [said(single(one)), said(single(other))] == [STORED, STORED]
            assert not locked.done()
            dibs.sql(
                'UPDATE "workflowRuns" SET "runState" = \'pending\', "leaseId" = NULL,'
                ' "lockedBy" = NULL, "lockedSession" = NULL, "lockedAt" = NULL,'
                ' "leaseExpiresAt" = NULL, "leaseSeconds" = NULL, version = version + 1'
                " WHERE id = %s",
                taken,
            )
            dibs.sql(
                'INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState",'
                ' "leaseId", fence, executor, actor, detail)'
                " SELECT id, version, 'expired', clock_timestamp(), 'loading', 'pending', %s,"
                " fence, %s, NULL, '{}' FROM \"workflowRuns\" WHERE id = %s",
                dispatches[1].lease.id,
                executor.name,
                taken,
            )
            dibs.owner.execute("COMMIT")
            dibs.owner.execute("BEGIN")

            assert said(single(locked)) == ("refused", False, LeaseLost)

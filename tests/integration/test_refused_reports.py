"""Repeated and refused reports: one answer for each outcome, and no effect of any other."""

from __future__ import annotations

from uuid import uuid4

import pytest

from orchestrator.errors import LeaseLost, OutcomeConflict, StepOutOfOrder, ValidationFailed
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor, outcome


@pytest.mark.parametrize(
    "told",
    [
        {"status": "success"},
        {"status": "error", "message": "no"},
        {"status": "awaiting-input", "waiting_for": '{"reason": "input"}'},
    ],
)
def test_the_same_outcome_again_gets_the_stored_answer(
    dibs: Dibs, executor: Executor, told: dict[str, str]
) -> None:
    dispatch = dibs.dispatch(executor)
    first = dibs.report(outcome(dispatch, executor, **told))[0]
    before = dibs.row(dispatch.run.id)

    second = dibs.report(outcome(dispatch, executor, **told))[0]

    assert (second.status, second.replayed) == (first.status, True)
    assert dibs.row(dispatch.run.id) == before


def test_a_repeat_is_answered_also_when_another_executor_has_the_run_by_then(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.tell(dispatch, executor, "error", message="no")
    dibs.make_due(dispatch.run.id)
    dibs.tick()
    dibs.claim_run(other, dispatch.run.id)

    again = dibs.tell(dispatch, executor, "error", message="no")

    assert (again.status, again.replayed) == ("scheduled", True)


def test_another_outcome_under_the_same_lease_is_a_conflict(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.tell(dispatch, executor, "success", output="1")
    before = dibs.row(dispatch.run.id)

    answer = dibs.tell(dispatch, executor, "success", output="2")

    assert (answer.status, type(answer.problem)) == ("refused", OutcomeConflict)
    assert dibs.row(dispatch.run.id) == before


def test_a_report_for_another_step_is_out_of_order(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)

    answer = dibs.tell(dispatch, executor, "success", step_index=1)

    assert isinstance(answer.problem, StepOutOfOrder)
    assert dibs.state(dispatch.run.id) == "loading"


def test_a_lease_of_another_token_cannot_report(
    dibs: Dibs, executor: Executor, stranger: Executor
) -> None:
    dispatch = dibs.dispatch(executor)

    answer = dibs.tell(dispatch, stranger, "success")

    assert isinstance(answer.problem, LeaseLost)
    assert dibs.state(dispatch.run.id) == "loading"


def test_another_token_is_not_told_at_which_step_a_run_is(
    dibs: Dibs, executor: Executor, stranger: Executor
) -> None:
    dispatch = dibs.dispatch(executor)

    answer = dibs.tell(dispatch, stranger, "success", step_index=1)

    assert isinstance(answer.problem, LeaseLost)


def test_a_stored_outcome_is_not_told_to_another_token(
    dibs: Dibs, executor: Executor, stranger: Executor
) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.tell(dispatch, executor, "success")

    answer = dibs.tell(dispatch, stranger, "success")

    assert isinstance(answer.problem, LeaseLost)


@pytest.mark.fault("F12")
def test_a_paused_executor_cannot_report_a_run_that_was_leased_again(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    first = dibs.dispatch(executor)
    dibs.expire(first.run.id)
    dibs.tick()
    second, _ = dibs.claim_run(other, first.run.id)

    answer = dibs.tell(first, executor, "success", output='"late"')

    row = dibs.row(first.run.id)
    assert isinstance(answer.problem, LeaseLost)
    assert (row["runState"], row["leaseId"]) == ("loading", second.lease.id)


def test_a_late_report_does_not_count_under_the_next_lease_of_the_same_executor(
    dibs: Dibs, executor: Executor
) -> None:
    first = dibs.dispatch(executor)
    dibs.expire(first.run.id)
    dibs.tick()
    second, _ = dibs.claim_run(executor, first.run.id)
    before = dibs.row(first.run.id)

    late = dibs.tell(first, executor, "success", output='"late"')

    assert isinstance(late.problem, LeaseLost)
    assert dibs.row(first.run.id) == before
    assert dibs.tell(second, executor, "success").status == "finished"


def test_a_lease_that_never_was_is_lost(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)

    answers = dibs.report(
        outcome(dispatch, executor, "success", lease_id=uuid4()),
        outcome(dispatch, executor, "success", run_id=uuid4()),
    )

    assert [type(answer.problem) for answer in answers] == [LeaseLost, LeaseLost]
    assert dibs.state(dispatch.run.id) == "loading"


def test_a_batch_is_answered_in_the_order_told_each_item_on_its_own(
    dibs: Dibs, executor: Executor
) -> None:
    good, bad, last = (dibs.dispatch(executor) for _ in range(3))

    answers = dibs.report(
        outcome(good, executor, "success"),
        outcome(bad, executor, "success", lease_id=uuid4()),
        outcome(good, executor, "success"),
        outcome(good, executor, "success", output="2"),
        outcome(last, executor, "error", message="no"),
    )

    assert [answer.status for answer in answers] == [
        "finished",
        "refused",
        "finished",
        "refused",
        "scheduled",
    ]
    assert [answer.replayed for answer in answers] == [False, False, True, False, False]
    assert isinstance(answers[3].problem, OutcomeConflict)


def test_a_value_that_the_database_refuses_does_not_fail_its_neighbours(
    dibs: Dibs, executor: Executor
) -> None:
    first, bad, last = (dibs.dispatch(executor) for _ in range(3))

    answers = dibs.report(
        outcome(first, executor, "success"),
        outcome(bad, executor, "success", output=r'"\u0000"'),
        outcome(last, executor, "success"),
    )

    assert [answer.status for answer in answers] == ["finished", "refused", "finished"]
    assert isinstance(answers[1].problem, ValidationFailed)
    assert "0000" not in answers[1].problem.message
    assert dibs.state(bad.run.id) == "loading"

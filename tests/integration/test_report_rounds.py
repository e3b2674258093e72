"""Reports of one run in one request: judged one after another, and never very many."""

from __future__ import annotations

from functools import partial

from orchestrator.desk.report_rounds import MOST_ROUNDS
from orchestrator.errors import LeaseLost, OutcomeConflict, ValidationFailed
from tests.integration.dibs import Dibs
from tests.integration.gathered import commits
from tests.integration.wishes import Executor, outcome

MANY = 500


def test_copies_of_a_report_in_one_request_are_replays_and_cost_nothing(
    dibs: Dibs, executor: Executor
) -> None:
    one, other = (dibs.dispatch(executor) for _ in range(2))
    told = [outcome(one, executor, "success")] * MANY
    with commits(dibs.database.leases) as committed:
        *copies, last = dibs.report(*told, outcome(other, executor, "success"))

    assert [copy.replayed for copy in copies] == [False] + [True] * (MANY - 1)
    assert {copy.status for copy in (*copies, last)} == {"finished"}
    assert dibs.events(one.run.id).count("reported") == 1
    assert len(committed) == 1


def test_what_is_told_of_one_run_is_judged_in_the_order_told(
    dibs: Dibs, executor: Executor
) -> None:
    tell = partial(outcome, dibs.dispatch(executor), executor, "success")
    stored, unlike, copy, copy_of_unlike = dibs.report(
        tell(output="1"), tell(output="2"), tell(output="1"), tell(output="2")
    )

    assert (stored.status, stored.replayed) == ("finished", False)
    assert (copy.status, copy.replayed) == ("finished", True)
    assert isinstance(unlike.problem, OutcomeConflict)
    assert (copy_of_unlike.status, copy_of_unlike.replayed) == ("refused", False)
    assert isinstance(copy_of_unlike.problem, OutcomeConflict)


def test_one_request_asks_for_few_transactions_whatever_it_says(
    dibs: Dibs, executor: Executor
) -> None:
    one, other = (dibs.dispatch(executor) for _ in range(2))
    told = [outcome(one, executor, "success", step_index=index) for index in range(MANY, 0, -1)]
    with commits(dibs.database.leases) as committed:
        *answers, last = dibs.report(*told, outcome(other, executor, "success"))

    judged, beyond = answers[:MOST_ROUNDS], answers[MOST_ROUNDS:]
    assert len(committed) <= MOST_ROUNDS
    assert not any(isinstance(answer.problem, ValidationFailed | LeaseLost) for answer in judged)
    assert {type(answer.problem) for answer in beyond} == {ValidationFailed}
    assert last.status == "finished"
    assert dibs.state(one.run.id) == "loading"

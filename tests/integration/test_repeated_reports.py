"""A report that is repeated while its first copy's COMMIT is on its way is told what was stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, event

from orchestrator.errors import OutcomeConflict
from orchestrator.store import reports
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor, outcome

# The gathered report, which passes the locked row over; then its two looks at why.
STATEMENTS = 3


@contextmanager
def committed_after(dibs: Dibs, first_copy: Connection, statement: int) -> Iterator[None]:
    """The first copy's COMMIT takes effect right after the repeat's statement of this number."""
    sent: list[str] = []

    def count(connection: Connection, _cursor: object, text: str, *_: object) -> None:
        if connection is not first_copy:
            sent.append(text)
            if len(sent) == statement:
                first_copy.commit()

    event.listen(dibs.database.leases, "after_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(dibs.database.leases, "after_cursor_execute", count)
    assert len(sent) >= statement


@pytest.mark.parametrize("statement", range(1, 1 + STATEMENTS))
def test_whenever_the_commit_takes_effect_the_repeat_is_told_what_was_stored(
    dibs: Dibs, executor: Executor, statement: int
) -> None:
    told = outcome(dibs.dispatch(executor), executor, "success")
    with dibs.database.leases.connect() as first_copy:
        reports.report(first_copy, [told])
        with committed_after(dibs, first_copy, statement):
            (answer,) = dibs.report(told)

    assert (answer.status, answer.replayed, answer.problem) == ("finished", True, None)
    assert dibs.events(told.run_id).count("reported") == 1


@pytest.mark.parametrize("statement", range(1, 1 + STATEMENTS))
def test_whenever_the_commit_takes_effect_another_outcome_is_a_conflict(
    dibs: Dibs, executor: Executor, statement: int
) -> None:
    dispatch = dibs.dispatch(executor)
    with dibs.database.leases.connect() as first_copy:
        reports.report(first_copy, [outcome(dispatch, executor, "success")])
        with committed_after(dibs, first_copy, statement):
            (answer,) = dibs.report(outcome(dispatch, executor, "success", output="2"))

    assert isinstance(answer.problem, OutcomeConflict)
    assert dibs.row(dispatch.run.id)["output"] == {}

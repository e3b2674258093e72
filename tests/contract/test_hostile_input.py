"""Hostile input over a socket: what the list says, a whole problem, nothing written."""

from typing import Any

import psycopg
import pytest

from tests.acceptance.stage import Stage
from tests.hostile.case import Case
from tests.hostile.place import Place, place_on
from tests.hostile.table import CASES


@pytest.fixture(scope="session")
def place(stage: Stage) -> Place:
    """The server, and everybody's tokens."""
    return place_on(stage)


def written(owner: psycopg.Connection[Any]) -> Any:
    """How much there is of what a request can leave behind."""
    return owner.execute(
        """
        SELECT (SELECT count(*) FROM "workflowRuns"), (SELECT count(*) FROM "runEvents"),
               (SELECT count(*) FROM "workflowSteps"), (SELECT count(*) FROM "claimRequests"),
               (SELECT count(*) FROM executors), (SELECT count(*) FROM queues)
        """
    ).fetchone()


def param(case: Case) -> Any:
    """A case by its name; one that is awaited may fail."""
    marks = [pytest.mark.xfail(strict=False, reason=case.awaits)] if case.awaits else []
    return pytest.param(case, id=case.name.replace(" ", "-"), marks=marks)


@pytest.mark.parametrize("case", [param(case) for case in CASES])
def test_hostile_input_gets_what_the_list_says(
    place: Place, owner: psycopg.Connection[Any], case: Case
) -> None:
    before = written(owner)

    case.check(place)

    assert case.writes or written(owner) == before

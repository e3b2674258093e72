"""Hostile input over a socket: what the list says, a whole problem, nothing written."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.acceptance.client import Client
from tests.acceptance.stage import Stage
from tests.hostile.case import Case
from tests.hostile.credentials import CANARY
from tests.hostile.elsewhere import ELSEWHERE, Elsewhere
from tests.hostile.place import Place, place_on
from tests.hostile.rows import ROWS
from tests.hostile.table import CASES


@pytest.fixture(scope="session")
def place(stage: Stage) -> Place:
    """The server, and everybody's tokens."""
    return place_on(stage)


def written(owner: psycopg.Connection[Any]) -> Any:
    """How much there is of what requests leave behind; what the keeper does comes by itself."""
    return owner.execute(
        """
        SELECT (SELECT count(*) FROM "workflowRuns"),
               (SELECT count(*) FROM "runEvents" WHERE actor IS NOT NULL),
               (SELECT count(*) FROM "workflowSteps"), (SELECT count(*) FROM "claimRequests"),
               (SELECT count(*) FROM executors), (SELECT count(*) FROM queues)
        """
    ).fetchone()


def named(text: str) -> str:
    """The name of a case as a test's."""
    return text.replace(" ", "-")


@pytest.mark.parametrize("case", CASES, ids=lambda case: named(case.name))
def test_hostile_input_gets_what_the_list_says(
    place: Place, owner: psycopg.Connection[Any], case: Case
) -> None:
    before = written(owner)

    case.check(place)

    assert case.writes or written(owner) == before


def test_nothing_that_was_sent_as_a_credential_is_in_the_log(stage: Stage, place: Place) -> None:
    log = stage.orchestrator.log_file.read_text()

    secrets = [token.split("_", 2)[2] for token in place.tokens.values()]
    assert "request_refused" in log
    assert [secret for secret in (CANARY, *secrets) if secret in log] == []


def test_the_service_still_answers(nobody: Client) -> None:
    assert nobody.send("GET", "/readyz").status_code == 200


def test_the_list_has_seventy_rows() -> None:
    assert list(ROWS) == [f"B{number}" for number in range(1, 71)]


def test_no_row_is_missing() -> None:
    held = {case.row for case in CASES} | {one.row for one in ELSEWHERE}

    assert held == set(ROWS)


def test_each_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in CASES]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("elsewhere", ELSEWHERE, ids=lambda one: named(f"{one.row} {one.test}"))
def test_what_is_held_elsewhere_is_there(elsewhere: Elsewhere) -> None:
    assert elsewhere.is_there

"""
Plans that are made before there is anything to plan for.

A prepared statement keeps its plan until the statistics of a table change. What was planned
on empty tables meets full ones: then a look at a whole table, the cheapest of all before,
is one at everything that has happened since, for each claim and each report.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.hot_statements import hot_statements
from tests.integration.statements import Statement, plan, scans_whole
from tests.integration.wishes import Executor

HOLDER = Executor("fleet:one")
# All that grows with what is done. Of executors and their incidents there are as many as the
# fleet has processes.
GROWING = {
    "workflowRuns",
    "workflowSteps",
    "runEvents",
    "claimRequests",
    "accessTokens",
}


@pytest.fixture(scope="module")
def service(module_database: Database) -> Iterator[psycopg.Connection]:
    """A session with the service's role, on a database that holds next to nothing."""
    with closing(psycopg.connect(module_database.service_url, autocommit=True)) as service:
        yield service


@pytest.fixture(scope="module")
def sent(module_database: Database) -> dict[str, Statement]:
    with (
        closing(psycopg.connect(module_database.owner_url, autocommit=True)) as owner,
        closing(Dibs(module_database.service_url, owner)) as dibs,
    ):
        for _ in range(3):
            dibs.pending()
        return hot_statements(dibs, HOLDER)


@pytest.mark.parametrize(
    "name",
    [
        "claim",
        "claim_run",
        "renew",
        "orphans",
        "report",
        "release",
        "expire",
        "make_due",
        "time_out_waits",
    ],
)
def test_nothing_that_grows_is_read_as_a_whole(
    service: psycopg.Connection, sent: dict[str, Statement], name: str
) -> None:
    grown = GROWING
    if service.info.server_version < 170_000 and name == "claim":
        # Ten looks by index seem dearer there than one along it.
        grown = GROWING - {"workflowRuns"}
    root = plan(service, sent[name], generic=True)

    assert [table for table in grown if scans_whole(root, table)] == []


def test_nor_by_a_claim_after_a_day_on_which_nothing_was_claimed(
    module_database: Database, service: psycopg.Connection, sent: dict[str, Statement]
) -> None:
    # What requests got is dropped after a day, and the table is then known to be empty.
    with closing(psycopg.connect(module_database.owner_url, autocommit=True)) as owner:
        owner.execute('TRUNCATE "claimRequests"')
        owner.execute('VACUUM ANALYZE "claimRequests"')

    assert not scans_whole(plan(service, sent["claim"], generic=True), "claimRequests")

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
from tests.integration.statements import Plan, Statement, nodes, plan
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
# Holds no more than what is leased.
BOUNDED = {"workflowRuns_leased"}


@pytest.fixture(scope="module")
def service(module_database: Database) -> Iterator[psycopg.Connection]:
    """A session with the service's role, on a database that holds next to nothing."""
    with closing(psycopg.connect(module_database.service_url, autocommit=True)) as service:
        yield service


@pytest.fixture(scope="module")
def sent(module_database: Database, service: psycopg.Connection) -> dict[str, Statement]:
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
    if name == "claim" and service.info.server_version < 170_000:
        pytest.skip("before PostgreSQL 17 ten looks by index seem dearer than one along it")
    assert read_as_a_whole(plan(service, sent[name], generic=True)) == []


def test_nor_by_a_claim_after_a_day_on_which_nothing_was_claimed(
    module_database: Database, service: psycopg.Connection, sent: dict[str, Statement]
) -> None:
    # What requests got is dropped after a day, and the table is then known to be empty.
    with closing(psycopg.connect(module_database.owner_url, autocommit=True)) as owner:
        owner.execute('TRUNCATE "claimRequests"')
        owner.execute('VACUUM ANALYZE "claimRequests"')

    seen = read_as_a_whole(plan(service, sent["claim"], generic=True))
    assert not [each for each in seen if "claimRequests" in each]


def read_as_a_whole(root: Plan) -> list[str]:
    """What a plan reads of a table that grows without saying which rows."""
    return [each for each in map(_read_as_a_whole, nodes(root)) if each]


def _read_as_a_whole(node: Plan) -> str | None:
    index = node.get("Index Name", "")
    table = node.get("Relation Name", index.split("_")[0])
    if table not in GROWING or node["Node Type"] == "ModifyTable":
        return None
    # The index below a bitmap is a node of its own.
    if node["Node Type"] == "Bitmap Heap Scan" or "Index Cond" in node or index in BOUNDED:
        return None
    return f"{node['Node Type']} of {table}"

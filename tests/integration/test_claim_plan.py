"""The plans of the hot statements on 300,000 pending and 300,000 finished runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from orchestrator.desk.explain import explain_run
from orchestrator.desk.run_facts import Onlooker
from orchestrator.store import explain
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.hot_statements import hot_statements
from tests.integration.statements import Statement, captured, find, nodes, plan, scans_whole
from tests.integration.wishes import Executor

RUNS = 300_000
HOLDER = Executor("fleet:one")

# Guards are skipped (replica) to fill the table quickly; constraints are not.
FILL = f"""
SET session_replication_role = replica;
INSERT INTO "workflowRuns" (id, workflow, queue, "stepQueue", "runState", priority, "availableAt",
  "claimKey", "stepIndex", "stepName", "stepType", input, attempt, failures, crashes, releases,
  "maxFailures", "maxCrashes", fence, "createdBy", "createdAt", "finishedAt", version)
SELECT (lpad(to_hex(n), 12, '0') || '7000' || substr(md5(n::text), 1, 16))::uuid, 'refund',
       'default', 'default', CASE WHEN n % 2 = 0 THEN 'pending' ELSE 'finished' END, 0, now(),
       now() - make_interval(secs => n), 0, 'refund', 'refund', '{{}}', 0, 0, 0, 0, 3, 3, 0, 'web',
       now(), CASE WHEN n % 2 = 1 THEN now() END, 1
  FROM generate_series(1, {2 * RUNS}) AS n;
SET session_replication_role = origin;
"""


@pytest.fixture(scope="module")
def full(module_database: Database, filled: psycopg.Connection) -> Iterator[Dibs]:
    """One orchestrator on the full table."""
    with closing(Dibs(module_database.service_url, filled)) as dibs:
        yield dibs


@pytest.fixture(scope="module")
def sent(full: Dibs) -> dict[str, Statement]:
    """One of each hot statement, as it was sent."""
    return hot_statements(full, HOLDER)


@pytest.fixture(params=["custom", "generic"])
def generic(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "generic")


@pytest.mark.fault("F43")
def test_the_claim_walks_its_index_and_sorts_nothing(
    filled: psycopg.Connection, sent: dict[str, Statement], generic: bool
) -> None:
    root = plan(filled, sent["claim"], generic=generic)

    candidates = find(root, lambda node: node.get("Subplan Name") == "CTE candidates")
    lock = find(candidates, lambda node: node["Node Type"] == "LockRows")
    below: list[dict[str, Any]] = list(nodes(lock))
    assert not [node for node in below if "Sort" in node["Node Type"]]
    assert [
        (node["Node Type"], node["Index Name"])
        for node in below
        if "Index Name" in node and node["Relation Name"] == "workflowRuns"
    ] == [("Index Scan", "workflowRuns_claimable")]
    assert not scans_whole(root, "workflowRuns")


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("claim_run", "workflowRuns_pkey"),
        ("renew", "workflowRuns_pkey"),
        ("report", "workflowRuns_pkey"),
        ("release", "workflowRuns_pkey"),
        ("orphans", "workflowRuns_leased"),
        ("expire", "workflowRuns_leased"),
        ("make_due", "workflowRuns_scheduled"),
        ("time_out_waits", "workflowRuns_waiting"),
    ],
)
def test_a_hot_statement_finds_its_runs_by_index(
    filled: psycopg.Connection, sent: dict[str, Statement], name: str, index: str, generic: bool
) -> None:
    root = plan(filled, sent[name], generic=generic)

    lock = find(root, lambda node: node["Node Type"] == "LockRows")
    assert index in [node.get("Index Name") for node in nodes(lock)]
    assert not scans_whole(root, "workflowRuns")


def test_a_warm_claim_takes_milliseconds(full: Dibs) -> None:
    # More than five of them, so that Postgres may have turned to the generic plan.
    took = []
    for _ in range(20):
        began = time.perf_counter()
        assert len(full.claim(HOLDER).dispatches) == 1
        took.append(time.perf_counter() - began)

    assert sorted(took[5:])[len(took[5:]) // 2] < 0.05, took


@pytest.fixture(scope="module")
def explained(full: Dibs) -> list[Statement]:
    """All that is read to explain a run behind the whole backlog, its queue's leases among it."""
    last = full.pending(priority=-100).id
    with captured(full.database.work) as statements:
        explanation = explain_run(full.database, last, Onlooker(("*",), sees_executors=True))
        with full.database.work.begin() as connection:
            explain.leased_from(connection, "default")
    assert explanation.gates[-1].text.startswith("At least 10,000 runs of queue default are before")
    return [each for each in statements if not each.text.startswith("SET")]


def test_the_runs_before_one_are_counted_along_the_index(
    filled: psycopg.Connection, explained: list[Statement], generic: bool
) -> None:
    statement = next(each for each in explained if ") before)" in each.text)
    root = plan(filled, statement, generic=generic)

    walk = find(root, lambda node: node.get("Index Name") == "workflowRuns_claimable")
    limit = find(root, lambda node: node["Node Type"] == "Limit" and walk in nodes(node))
    assert walk["Node Type"] == "Index Only Scan"
    assert "claimKey" in walk["Index Cond"]
    assert not [node for node in nodes(limit) if "Sort" in node["Node Type"]]


def test_nothing_that_explains_a_run_reads_the_whole_table(
    filled: psycopg.Connection, explained: list[Statement], generic: bool
) -> None:
    plans = [plan(filled, each, generic=generic) for each in explained]

    assert len(plans) == 7
    assert not [root for root in plans if scans_whole(root, "workflowRuns")]

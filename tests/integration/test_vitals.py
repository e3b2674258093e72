"""The vitals: how the database and the keeper are, looked at once for all who ask."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from orchestrator.desk import vitals as desk
from orchestrator.desk.vitals import VitalsDesk
from orchestrator.store import vitals
from orchestrator.store.transaction import transact
from orchestrator.store.vitals import HOT_TABLES, MOST_WAITING
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.statements import captured, nodes, plan
from tests.integration.wishes import Executor

MANY = 2 * MOST_WAITING
FILL = f"""
SET session_replication_role = replica;
INSERT INTO "workflowRuns" (id, workflow, queue, "stepQueue", "runState", priority, "availableAt",
  "claimKey", "waitingFor", "stepIndex", "stepName", "stepType", input, attempt, failures, crashes,
  releases, "maxFailures", "maxCrashes", fence, "createdBy", "createdAt", version)
SELECT gen_random_uuid(), 'refund', 'q', 'q', 'waiting', 0, NULL, now(), '{{"reason": "input"}}',
       0, 'refund', 'refund', '{{}}', 0, 0, 0, 0, 3, 3, 0, 'web', now(), 1
  FROM generate_series(1, {MANY});
SET session_replication_role = origin;
"""


def test_however_many_ask_the_database_is_looked_at_once(
    dibs: Dibs, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = VitalsDesk(dibs.database)
    with captured(dibs.database.work) as statements, ThreadPoolExecutor(8) as threads:
        seen = set(map(id, threads.map(lambda _: asked.now(), range(40))))
    one_look = len(statements)

    assert len(seen) == 1
    monkeypatch.setattr(desk, "KEPT_SECONDS", 0.0)
    with captured(dibs.database.work) as statements:
        asked.now()
    assert one_look == len(statements)


def test_the_keeper_stands_as_its_last_tick_and_its_amnesty_say(
    dibs: Dibs, executor: Executor
) -> None:
    dibs.tick()
    calm = transact(dibs.database.work, vitals.keeper_standing)
    dibs.dispatch(executor, lease_seconds=3_600)
    dibs.set_keeper(awake=False)
    late = transact(dibs.database.work, vitals.keeper_standing)
    dibs.beat()
    forgiving = transact(dibs.database.work, vitals.keeper_standing)

    assert calm.ticked_at is not None
    assert not calm.in_amnesty
    assert late.lag_seconds >= 60
    assert forgiving.lag_seconds < 60
    assert forgiving.in_amnesty


def test_executors_are_counted_by_state_and_those_that_are_not_heard_of_by_themselves(
    dibs: Dibs, executor: Executor, other: Executor, stranger: Executor
) -> None:
    for each in (executor, other, stranger):
        dibs.register(each)
    dibs.set_executor(other, "quarantined")
    dibs.sql(
        'UPDATE executors SET "seenAt" = "seenAt" - interval \'10 minutes\' WHERE "fullName" = %s',
        stranger.name,
    )

    counted = transact(dibs.database.work, vitals.executors_by_state)

    assert counted == {"active": 1, "quarantined": 1, "silent": 1}


def test_runs_whose_outcome_nobody_knows_are_counted(dibs: Dibs, executor: Executor) -> None:
    before = transact(dibs.database.work, vitals.unknown_outcomes)
    begun = dibs.begun(executor)
    dibs.tell(begun, executor, "unknown", message="who knows")

    assert (before, transact(dibs.database.work, vitals.unknown_outcomes)) == (0, 1)


def test_the_service_is_told_how_large_the_hot_tables_are(dibs: Dibs) -> None:
    dibs.pending()

    sizes = {table.name: table for table in transact(dibs.database.work, vitals.table_sizes)}

    assert set(sizes) == set(HOT_TABLES)
    assert sizes["workflowRuns"].table_bytes > 0
    assert sizes["workflowRuns"].index_bytes > 0


@pytest.fixture(scope="module")
def waiting(module_database: Database, filled: psycopg.Connection) -> Iterator[Dibs]:
    """One orchestrator, and more runs that wait than are looked at."""
    dibs = Dibs(module_database.service_url, filled)
    yield dibs
    dibs.close()


@pytest.mark.parametrize("generic", [False, True])
def test_however_many_runs_wait_only_the_newest_are_read(waiting: Dibs, generic: bool) -> None:
    with captured(waiting.database.work) as statements:
        transact(waiting.database.work, vitals.unknown_outcomes)
    (asked,) = statements

    planned = plan(waiting.owner, asked, generic=generic)

    read = [node for node in nodes(planned) if "Relation Name" in node]
    assert [node["Node Type"] for node in read] == ["Index Scan"]
    assert [node["Index Name"] for node in read] == ["workflowRuns_attention"]
    assert any(node["Node Type"] == "Limit" for node in nodes(planned))

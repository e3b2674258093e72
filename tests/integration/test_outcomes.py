"""How runs ended of late: told of those that were executed, however many wait in front of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from orchestrator.store.outcomes import Outcomes, sample
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.statements import captured, nodes, plan, scans_whole
from tests.integration.wishes import Executor

RUNS = 40_000
HOLDER = Executor("fleet:one")

# The older half is over, each in a hundred milliseconds and each tenth failed; the newer half
# waits. Guards are skipped (replica) to fill the tables quickly.
FILL = f"""
SET session_replication_role = replica;
INSERT INTO "workflowRuns" (id, workflow, queue, "stepQueue", "runState", priority, "availableAt",
  "claimKey", "stepIndex", "stepName", "stepType", input, error, attempt, failures, crashes,
  releases, "maxFailures", "maxCrashes", fence, "createdBy", "createdAt", "startedAt",
  "finishedAt", version)
SELECT (lpad(to_hex(n), 12, '0') || '7000' || substr(md5(n::text), 1, 16))::uuid, 'refund',
       'default', 'default', s.state, 0, now(), now(), 0, 'refund', 'refund', '{{}}',
       CASE s.state WHEN 'failed' THEN '{{"code": "step-failed"}}'::jsonb END, 1, 0, 0, 0, 3, 3, 0,
       'web', now(), CASE WHEN s.state <> 'pending' THEN now() END,
       CASE WHEN s.state <> 'pending' THEN now() + interval '100 ms' END, 1
  FROM generate_series(1, {2 * RUNS}) AS n CROSS JOIN LATERAL (
    SELECT CASE WHEN n > {RUNS} THEN 'pending' WHEN n % 10 = 0 THEN 'failed' ELSE 'finished' END
  ) AS s(state);
INSERT INTO "workflowSteps" ("runId", "stepIndex", name, type, state, "startedAt", "finishedAt")
SELECT r.id, i, 'refund', 'refund', r."runState", r."startedAt", r."finishedAt"
  FROM "workflowRuns" r CROSS JOIN generate_series(0, 1) AS i WHERE r."runState" <> 'pending';
SET session_replication_role = origin;
"""


@pytest.fixture(scope="module")
def full(module_database: Database, filled: psycopg.Connection[Any]) -> Iterator[Dibs]:
    with closing(Dibs(module_database.service_url, filled)) as full:
        yield full


def test_the_newest_that_were_executed_are_found_behind_a_backlog(full: Dibs) -> None:
    with full.database.work.begin() as connection:
        [found] = sample(connection, steps=1_000)

    # Two steps each.
    assert (found.workflow, found.queue) == ("refund", "default")
    assert (found.finished, found.failed) == (450, 50)
    assert found.milliseconds == [100] * 450


def test_no_more_is_read_the_longer_the_tables_are(
    full: Dibs, filled: psycopg.Connection[Any]
) -> None:
    with captured(full.database.work) as sent, full.database.work.begin() as connection:
        sample(connection, steps=1_000)

    for generic in (False, True):
        root = plan(filled, sent[-1], generic=generic)
        used = {node["Index Name"] for node in nodes(root) if "Index Name" in node}
        assert used == {"workflowSteps_pkey", "workflowRuns_pkey"}
        assert not scans_whole(root, "workflowRuns")
        # Of the steps so many as are asked for, from the newest on.
        assert "Limit" in {node["Node Type"] for node in nodes(root)}
        assert "Seq Scan" not in {node["Node Type"] for node in nodes(root)}


def test_runs_that_go_on_or_wait_are_not_told_of(dibs: Dibs) -> None:
    for _ in range(4):
        dibs.pending()
    first, second, third = dibs.claim(HOLDER, limit=3).dispatches
    dibs.tell(first, HOLDER, "success")
    dibs.tell(second, HOLDER, "awaiting-input")
    with dibs.database.work.begin() as connection:
        found = sample(connection, steps=100)

    assert third.run.id != first.run.id
    assert [(one.finished, one.failed, len(one.milliseconds)) for one in found] == [(1, 0, 1)]
    assert isinstance(found[0], Outcomes)

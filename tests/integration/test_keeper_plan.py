"""What the keeper asks at every tick costs the same however much is not due yet."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.statements import Statement, captured, nodes, plan, scans_whole

ROWS = 60_000

FILL = f"""
INSERT INTO "workflowRuns" (id, workflow, queue, "stepQueue", "runState", priority, "availableAt",
  "claimKey", "stepIndex", "stepName", "stepType", input, attempt, failures, crashes, releases,
  "maxFailures", "maxCrashes", fence, "waitingFor", "createdBy", "createdAt", version)
SELECT (lpad(to_hex(n), 12, '0') || '7000' || substr(md5(n::text), 1, 16))::uuid, 'refund',
       'default', 'default', CASE WHEN n % 2 = 0 THEN 'scheduled' ELSE 'waiting' END, 0,
       now() + make_interval(days => 1, secs => n), now(), 0, 'refund', 'refund', '{{}}', 0, 0, 0,
       0, 3, 3, 0, CASE WHEN n % 2 = 1 THEN '{{"reason": "input"}}'::jsonb END, 'web', now(), 1
  FROM generate_series(1, {2 * ROWS}) AS n;
INSERT INTO "claimRequests" ("tokenName", "requestId", session, "bodyHash", at, "runIds",
                             "leaseIds")
SELECT 'fleet', gen_random_uuid(), gen_random_uuid(), decode(md5('body'), 'hex'),
       now() - make_interval(secs => n), ARRAY[gen_random_uuid()], ARRAY[gen_random_uuid()]
  FROM generate_series(1, {ROWS}) AS n;
"""

# A part of each statement, the table that it looks through, and how.
DUTIES = {
    "make_due": ("due AS", "workflowRuns", "workflowRuns_scheduled", "availableAt"),
    "time_out_waits": ("late AS", "workflowRuns", "workflowRuns_waiting", "availableAt"),
    "drop_old": ('DELETE FROM "claimRequests"', "claimRequests", "claimRequests_at", "at"),
}


@pytest.fixture(scope="module")
def sent(module_database: Database, filled: psycopg.Connection) -> list[Statement]:
    """All that one tick sends when each duty has something to do, pruning included."""
    filled.execute("""
UPDATE "workflowRuns" SET "availableAt" = now() - interval '1 second' WHERE id IN (
  (SELECT id FROM "workflowRuns" WHERE "runState" = 'scheduled' LIMIT 1)
  UNION ALL (SELECT id FROM "workflowRuns" WHERE "runState" = 'waiting' LIMIT 1))""")
    with closing(Dibs(module_database.service_url, filled)) as dibs:
        dibs.set_keeper(awake=True, prune_is_due=True)
        with captured(dibs.database.leases) as statements:
            dibs.tick()
    return statements


@pytest.mark.parametrize("generic", [False, True], ids=["custom", "generic"])
def test_the_look_for_all_duties_reads_the_first_of_each(
    filled: psycopg.Connection, sent: list[Statement], generic: bool
) -> None:
    statement = next(each for each in sent if 'min("leaseExpiresAt")' in each.text)
    root = plan(filled, statement, generic=generic)

    firsts = {
        str(node["Plans"][0].get("Index Name"))
        for node in nodes(root)
        if node["Node Type"] == "Limit"
    }
    assert firsts >= {"workflowRuns_scheduled", "workflowRuns_waiting"}
    assert not scans_whole(root, "workflowRuns")


@pytest.mark.parametrize("generic", [False, True], ids=["custom", "generic"])
@pytest.mark.parametrize("duty", DUTIES)
def test_the_clock_bounds_the_walk_along_the_index(
    filled: psycopg.Connection, sent: list[Statement], duty: str, generic: bool
) -> None:
    part, table, index, column = DUTIES[duty]
    statement = next(each for each in sent if part in each.text)
    root = plan(filled, statement, generic=generic)

    walks = [node for node in nodes(root) if node.get("Index Name") == index]
    assert [column in node.get("Index Cond", "") for node in walks] == [True]
    assert not scans_whole(root, table)

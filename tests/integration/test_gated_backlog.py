"""100,000 gated runs of one key in front of a queue: a claim of the others does not meet them."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from orchestrator.store import explain, gates
from orchestrator.store.transaction import transact
from tests.integration.dibs import Dibs
from tests.integration.statements import captured, find, nodes, plan, scans_whole
from tests.integration.wishes import QUEUE, Executor

GATED = 100_000
KEY = (QUEUE, "full")

# Gated as the trigger would have done it; guards are skipped (replica) to fill quickly.
FILL = f"""
SET session_replication_role = replica;
INSERT INTO "workflowRuns" (id, workflow, queue, "stepQueue", "runState", priority, "availableAt",
  "claimKey", "gatedClaimKey", "concurrencyKey", "stepIndex", "stepName", "stepType", input,
  attempt, failures, crashes, releases, "maxFailures", "maxCrashes", fence, "createdBy",
  "createdAt", version)
SELECT (lpad(to_hex(n), 12, '0') || '7000' || substr(md5(n::text), 1, 16))::uuid, 'refund',
       '{QUEUE}', '{QUEUE}', 'pending', 100, now(), 'infinity',
       now() - interval '1 day' + make_interval(secs => n), '{KEY[1]}', 0, 'refund', 'refund',
       '{{}}', 0, 0, 0, 0, 3, 3, 0, 'web', now(), 1
  FROM generate_series(1, {GATED}) AS n;
SET session_replication_role = origin;
"""


@pytest.fixture
def full(dibs: Dibs, owner: psycopg.Connection) -> Iterator[Dibs]:
    """An orchestrator on a queue in which all but a few runs are gated."""
    dibs.dispatch(Executor("fleet:holder"), concurrency_key=KEY[1])
    owner.execute(FILL.encode())
    owner.execute("VACUUM ANALYZE")
    yield dibs
    # There is no event of theirs for the ledger's check.
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute('DELETE FROM "workflowRuns" WHERE "concurrencyKey" = %s', [KEY[1]])
        owner.execute(
            'DELETE FROM "runEvents" e WHERE NOT EXISTS'
            ' (SELECT FROM "workflowRuns" r WHERE r.id = e."runId")'
        )
        owner.execute('DELETE FROM "claimRequests"')


def test_the_walk_of_a_claim_ends_before_them(
    full: Dibs, owner: psycopg.Connection, executor: Executor
) -> None:
    with captured(full.database.work) as statements:
        assert not full.claim(executor).dispatches

    claim = next(each for each in statements if "AS turn" in each.text)
    for generic in (False, True):
        root = plan(owner, claim, generic=generic)
        walk = find(root, lambda node: node.get("Index Name") == "workflowRuns_claimable")
        assert "\"claimKey\" < 'infinity'" in walk["Index Cond"]
        assert not [node for node in nodes(walk) if "Sort" in node["Node Type"]]


def test_what_is_claimable_is_claimed_and_one_at_a_time_let_in(
    full: Dibs, owner: psycopg.Connection, executor: Executor
) -> None:
    others = [full.pending().id for _ in range(3)]

    got = full.claim(executor, limit=10).dispatches

    assert [each.run.id for each in got] == others
    assert transact(full.database.work, lambda connection: gates.let_in(connection, [KEY])) == {}


@pytest.mark.parametrize("generic", [False, True])
def test_who_is_next_is_found_by_the_index_of_places(
    full: Dibs, owner: psycopg.Connection, generic: bool
) -> None:
    with captured(full.database.work) as statements:
        transact(full.database.work, lambda connection: gates.let_in(connection, [KEY]))

    root = plan(owner, statements[-1], generic=generic)

    used = {node["Index Name"] for node in nodes(root) if "Index Name" in node}
    candidates = find(root, lambda node: node.get("Subplan Name") == "CTE next")
    assert "workflowRuns_places" in used
    assert not [node for node in nodes(candidates) if "Sort" in node["Node Type"]]
    assert not scans_whole(root, "workflowRuns")


@pytest.mark.parametrize("generic", [False, True])
def test_the_sweep_looks_once_for_each_key(
    full: Dibs, owner: psycopg.Connection, generic: bool
) -> None:
    with captured(full.database.work) as statements:
        page = transact(
            full.database.work,
            lambda connection: gates.keys_after(connection, gates.NOWHERE, limit=200),
        )

    root = plan(owner, statements[-1], generic=generic)

    assert (page.with_room, page.through, page.is_last) == ([], KEY, True)
    assert not scans_whole(root, "workflowRuns")
    # The page itself may be sorted, the runs may not.
    sorts = [node for node in nodes(root) if node["Node Type"] == "Sort"]
    assert all(node is root for node in sorts)


@pytest.mark.parametrize("generic", [False, True])
def test_who_is_let_in_before_a_run_is_counted_along_the_index(
    full: Dibs, owner: psycopg.Connection, generic: bool
) -> None:
    last = full.pending(concurrency_key=KEY[1]).id
    with captured(full.database.work) as statements:
        ahead = transact(full.database.work, lambda c: explain.runs_ahead(c, last))

    root = plan(owner, statements[-1], generic=generic)

    walk = find(root, lambda node: node.get("Index Name") == "workflowRuns_places")
    assert ahead == explain.COUNTED_AHEAD
    assert "gatedClaimKey" in walk["Index Cond"]
    assert not [node for node in nodes(root) if "Sort" in node["Node Type"]]
    assert not scans_whole(root, "workflowRuns")

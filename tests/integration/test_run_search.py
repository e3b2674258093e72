"""Seeking runs among 300,000 pending ones, and below as many that are finished."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from orchestrator.desk import bulk_preview
from orchestrator.desk.bulk import BulkAnswer, count
from orchestrator.desk.bulk_preview import Counted
from orchestrator.desk.run_search import FAR, Found, search
from orchestrator.lifecycle import ActKind
from orchestrator.store.run_filter import RunFilter
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.statements import captured

NEWER = 300_000
PENDING = 300_000
OF_EACH = 3
LIMIT = 50

# From the oldest up: a few in each state, 300,000 pending ones, as many finished ones; in the
# table the newest come first, so that who looks through it finds them last. Guards are skipped
# (replica) to fill the table quickly; constraints are not.
FILL = f"""
SET session_replication_role = replica;
INSERT INTO "workflowRuns" (id, workflow, queue, "stepQueue", "runState", priority, "availableAt",
  "claimKey", "waitingFor", error, "leaseId", "lockedBy", "lockedSession", "lockedAt",
  "leaseExpiresAt", "leaseSeconds", "dedupKey", "finishedAt", "stepIndex", "stepName", "stepType",
  input, attempt, failures, crashes, releases, "maxFailures", "maxCrashes", fence, "createdBy",
  "createdAt", version)
SELECT (lpad(to_hex(n), 12, '0') || '7000' || substr(md5(n::text), 1, 16))::uuid,
       CASE WHEN is_deep THEN 'deep' ELSE 'refund' END,
       CASE WHEN is_deep THEN 'deep' ELSE 'default' END, 'default', state, 0, now(), now(),
       CASE state WHEN 'waiting' THEN '{{"reason": "outcome-unknown"}}'::jsonb END,
       CASE state WHEN 'failed' THEN '{{"code": "step-failed"}}'::jsonb END,
       CASE WHEN state IN ('loading', 'started') THEN gen_random_uuid() END,
       CASE WHEN state IN ('loading', 'started') THEN 'fleet:' || state END,
       CASE WHEN state IN ('loading', 'started') THEN gen_random_uuid() END,
       CASE WHEN state IN ('loading', 'started') THEN now() END,
       CASE WHEN state IN ('loading', 'started') THEN now() END,
       CASE WHEN state IN ('loading', 'started') THEN 30 END,
       CASE WHEN is_deep THEN state || n ELSE 'order-' || n END,
       CASE WHEN state IN ('finished', 'failed', 'aborted') THEN now() END,
       0, 'refund', 'refund', '{{}}', 0, 0, 0, 0, 3, 3, 0, 'web', now(), 1
  FROM (
    SELECT n, (ARRAY['scheduled', 'loading', 'started', 'waiting', 'failed', 'aborted'])
              [1 + n % 6] AS state, true AS is_deep
      FROM generate_series(1, 6 * {OF_EACH}) AS n
    UNION ALL
    SELECT n, 'pending', false FROM generate_series(100, 99 + {PENDING}) AS n
    UNION ALL
    SELECT n, 'finished', false
      FROM generate_series(1000000, 999999 + {NEWER}) AS n) AS rows
 ORDER BY n DESC;
SET session_replication_role = origin;
"""


@pytest.fixture(scope="module")
def full(module_database: Database, filled: psycopg.Connection) -> Iterator[Dibs]:
    """One orchestrator on the filled table."""
    with closing(Dibs(module_database.service_url, filled)) as full:
        yield full


def sought(full: Dibs, before: UUID | None = None, **wanted: Any) -> Found:
    return search(full.database, RunFilter(**wanted), ("*",), before=before, limit=LIMIT)


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ({"states": ("scheduled",)}, OF_EACH),
        ({"states": ("loading", "started")}, 2 * OF_EACH),
        ({"states": ("waiting",)}, OF_EACH),
        ({"states": ("failed", "aborted")}, 2 * OF_EACH),
        ({"states": ("failed", "scheduled")}, 2 * OF_EACH),
        ({"waiting_reason": "outcome-unknown"}, OF_EACH),
        ({"waiting_reason": "input"}, 0),
        ({"executor": "fleet:started"}, OF_EACH),
        ({"queue": "deep"}, 6 * OF_EACH),
        ({"queue": "deep", "workflow": "deep", "states": ("aborted",)}, OF_EACH),
        ({"queue": "default", "states": ("failed",)}, 0),
    ],
    ids=str,
)
def test_what_an_index_leads_to_is_found_wholly_however_much_is_newer(
    full: Dibs, wanted: dict[str, Any], number: int
) -> None:
    found = sought(full, **wanted)

    assert len(found.lines) == number
    assert (found.next_before, found.looked_at) == (None, None)


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ({"words": ("fleet:loading",)}, OF_EACH),
        ({"words": ("deep",)}, 6 * OF_EACH),
        ({"words": ("deep",), "states": ("waiting", "finished")}, OF_EACH),
        ({"words": ("deep", "fleet:started")}, OF_EACH),
        ({"words": ("waiting3",)}, 1),
        ({"dedup_key": "waiting3"}, 1),
        ({"dedup_key": "order-200"}, 1),
        ({"words": ("order-200",), "queue": "deep"}, 0),
        ({"workflow": "deep"}, 0),
        ({"words": ("nobody",)}, 0),
    ],
    ids=str,
)
def test_where_no_index_leads_the_newest_are_looked_at_and_what_else_is_known(
    full: Dibs, wanted: dict[str, Any], number: int
) -> None:
    found = sought(full, **wanted)

    assert len(found.lines) == number
    if wanted.get("queue") is None:
        assert found.looked_at == FAR
        assert found.looked_to is not None
        assert found.next_before is not None
        assert found.next_before.int >> 80 == 1_000_000 + NEWER - FAR


@pytest.mark.parametrize("queue", ["default", "no-such-queue"])
@pytest.mark.parametrize("states", [(), ("pending",), ("scheduled", "pending"), ("failed",)])
def test_a_queue_of_others_looks_like_one_that_is_not_there(
    full: Dibs, queue: str, states: tuple[str, ...]
) -> None:
    wanted = RunFilter(queue=queue, states=states)
    found = search(full.database, wanted, ("deep",), before=None, limit=LIMIT)

    assert found == Found([], None)
    assert count(full.database, wanted, ("deep",)) == BulkAnswer(0, 0, 0, more=False)


@pytest.mark.parametrize(
    ("patterns", "number"),
    [(("deep",), 6 * OF_EACH), (("no-such-queue", "deep"), 6 * OF_EACH), (("deep", "default"), 50)],
)
def test_whoever_sees_few_queues_is_shown_their_newest_however_many_others_are_newer(
    full: Dibs, patterns: tuple[str, ...], number: int
) -> None:
    found = search(full.database, RunFilter(), patterns, before=None, limit=LIMIT)

    assert len(found.lines) == number
    assert found.looked_at is None
    assert [line.id for line in found.lines] == sorted(line.id for line in found.lines)[::-1]


def test_what_is_counted_in_a_moment_is_never_less_than_nothing(
    full: Dibs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_preview, "MOST_SECONDS", 0)
    every = RunFilter(created_after=datetime(2020, 1, 1, tzinfo=UTC))
    told = bulk_preview.preview(full.database, ActKind.ABORT_RUNS, every, ("*",))

    assert told.fitting == Counted(0, are_more=True)


def test_pages_follow_each_other_without_a_gap(full: Dibs) -> None:
    first = sought(full)
    second = sought(full, first.next_before)
    numbers = [line.id.int >> 80 for line in first.lines + second.lines]

    assert numbers == [*range(999_999 + NEWER, 999_999 + NEWER - 2 * LIMIT, -1)]
    assert first.looked_at is None


def test_of_many_pending_runs_below_many_others_some_are_shown_at_once(full: Dibs) -> None:
    first = sought(full, states=("pending",))
    steps, found = 1, sought(full, first.next_before, states=("pending",))
    while not found.lines:
        steps, found = steps + 1, sought(full, found.next_before, states=("pending",))

    assert [line.run_state for line in first.lines] == ["pending"] * LIMIT
    assert first.looked_at == FAR
    assert steps == NEWER // FAR
    assert [line.id.int >> 80 for line in found.lines][:2] == [99 + PENDING, 98 + PENDING]


def test_what_whoever_sees_few_queues_is_shown_reads_no_more_than_its_reach(
    full: Dibs, filled: psycopg.Connection
) -> None:
    with captured(full.database.work) as statements:
        search(
            full.database, RunFilter(workflow="none"), ("deep", "default"), before=None, limit=LIMIT
        )

    with filled.transaction(force_rollback=True):
        filled.execute("SET LOCAL random_page_cost = 1000")
        read = [rows_read(filled, each.text, each.values) for each in statements]
    assert max(read) <= 3 * FAR + 100


@pytest.mark.parametrize("wanted", [{"queue": "older"}, {"words": ("older", "none")}], ids=str)
def test_a_large_queue_below_many_newer_runs_of_others_is_read_no_further(
    full: Dibs, filled: psycopg.Connection, wanted: dict[str, Any]
) -> None:
    with captured(full.database.work) as statements:
        sought(full, **wanted)

    with filled.transaction(force_rollback=True):
        filled.execute("SET LOCAL session_replication_role = replica")
        # Half of all runs, and every one of the other half is newer.
        filled.execute("""UPDATE "workflowRuns" SET queue = 'older' WHERE "runState" = 'pending'""")
        filled.execute('ANALYZE "workflowRuns"')
        filled.execute("SET LOCAL enable_bitmapscan = off")
        filled.execute("SET LOCAL enable_seqscan = off")
        read = [rows_read(filled, each.text, each.values) for each in statements]
    assert max(read) <= 3 * FAR + 100


SEARCHES: list[dict[str, Any]] = [
    {},
    {"states": ("pending",)},
    {"states": ("scheduled",)},
    {"states": ("finished",)},
    {"states": ("finished", "pending")},
    {"states": ("loading", "started")},
    {"states": ("failed",)},
    {"queue": "default", "states": ("aborted",)},
    {"workflow": "none"},
    {"dedup_key": "none"},
    {"executor": "nobody"},
    {"words": ("none",)},
    {"waiting_reason": "input"},
]


@pytest.mark.parametrize("wanted", SEARCHES, ids=str)
def test_no_search_reads_more_than_its_reach(
    full: Dibs, filled: psycopg.Connection, wanted: dict[str, Any]
) -> None:
    with captured(full.database.work) as statements:
        sought(full, **wanted)

    with filled.transaction(force_rollback=True):
        # Then every plan looks cheaper that reads the table as a whole.
        filled.execute("SET LOCAL random_page_cost = 1000")
        read = [rows_read(filled, each.text, each.values) for each in statements]
    assert max(read) <= 3 * FAR + 100


def rows_read(connection: psycopg.Connection, statement: str, values: dict[str, Any]) -> int:
    """Rows of the table, and entries of its indexes, that a statement looks at."""
    explained = f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) {statement}"
    row = connection.execute(explained.encode(), values).fetchone()
    assert row is not None

    def of(node: dict[str, Any]) -> int:
        seen = sum(of(child) for child in node.get("Plans", ()))
        if node.get("Relation Name") == "workflowRuns" or "Index Name" in node:
            dropped = node.get("Rows Removed by Filter", 0)
            seen += int((node["Actual Rows"] + dropped) * node["Actual Loops"])
        return seen

    return of(row[0][0]["Plan"])

"""The census: what is counted in each queue, how far, by which index, and how often."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, event

from orchestrator.desk import census as desk
from orchestrator.desk.census import CensusDesk, QueueCensus
from orchestrator.errors import Unavailable
from orchestrator.store import activity, census, serving
from orchestrator.store.census import MOST_COUNTED, Count
from orchestrator.store.queues import QueueSettings
from orchestrator.store.serving import Fleet
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.statements import captured, nodes, plan, scans_whole
from tests.integration.wishes import QUEUE, Executor

WAIT_SECONDS = 60
SMALL_QUEUES = 30

# One deep queue, many small ones, and one whose runs are mostly gated; guards are skipped
# (replica) to fill the table quickly.
FILL = f"""
SET session_replication_role = replica;
INSERT INTO "workflowRuns" (id, workflow, queue, "stepQueue", "runState", priority, "availableAt",
  "claimKey", "gatedClaimKey", "concurrencyKey", "waitingFor", error, "finishedAt", "stepIndex",
  "stepName", "stepType", input, attempt, failures, crashes, releases, "maxFailures",
  "maxCrashes", fence, "createdBy", "createdAt", version)
SELECT gen_random_uuid(), 'refund', q.name, q.name, q.state, 0, now() - interval '1 hour',
       CASE WHEN n > q.claimable THEN 'infinity'::timestamptz ELSE now() END,
       CASE WHEN n > q.claimable THEN now() END, CASE WHEN n > q.claimable THEN 'key' END,
       CASE q.state WHEN 'waiting' THEN '{{"reason": "input"}}'::jsonb END,
       CASE q.state WHEN 'failed' THEN '{{"code": "step-failed"}}'::jsonb END,
       CASE WHEN q.state IN ('failed', 'finished') THEN now() END, 0, 'refund', 'refund', '{{}}',
       0, 0, 0, 0, 3, 3, 0, 'web', now(), 1
  FROM (
    SELECT 'deep', state, 20000, 20000
      FROM unnest(ARRAY['pending', 'scheduled', 'waiting', 'failed', 'finished']) AS s(state)
    UNION ALL SELECT 'gated', 'pending', 70, 20
    UNION ALL
    SELECT 'small-' || n, state, n, n
      FROM generate_series(1, {SMALL_QUEUES}) AS n, unnest(ARRAY['pending', 'waiting']) AS s(state)
  ) AS q(name, state, runs, claimable) CROSS JOIN LATERAL generate_series(1, q.runs) AS n;
SET session_replication_role = origin;
"""


@pytest.fixture(scope="module")
def deep(module_database: Database, filled: psycopg.Connection) -> Iterator[Dibs]:
    """One orchestrator on the filled table."""
    with closing(Dibs(module_database.service_url, filled)) as deep:
        yield deep


@contextmanager
def held_up(dibs: Dibs) -> Iterator[threading.Event]:
    """The next transaction of the pool for reads has begun when the event is set, and hangs."""
    begun, may_go_on = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        if not begun.is_set():
            begun.set()
            assert may_go_on.wait(WAIT_SECONDS)

    event.listen(dibs.database.work, "begin", hold)
    try:
        yield begun
    finally:
        may_go_on.set()


def no_count(database: Database, owner: psycopg.Connection) -> None:
    """From now on the database refuses to count."""
    owner.execute(
        sql.SQL('REVOKE SELECT ON "workflowRuns" FROM {}').format(
            sql.Identifier(database.service_role)
        )
    )


def numbers(queue: QueueCensus) -> dict[str, int]:
    return {state: count.number for state, count in queue.states.items() if count.number}


def test_each_queue_and_state_is_counted(dibs: Dibs, executor: Executor) -> None:
    dibs.register(executor, slots=3, queues=(QUEUE, "idle"))
    for _ in range(3):
        dibs.pending()
    dibs.dispatch(executor)
    dibs.tell(
        dibs.dispatch(executor), executor, "awaiting-input", waiting_for='{"reason": "input"}'
    )
    dibs.tell(dibs.dispatch(executor), executor, "error", message="no", retryable=False)
    dibs.tell(dibs.dispatch(executor), executor, "error", message="no")
    dibs.expire(dibs.dispatch(executor).run.id)
    counted = CensusDesk(dibs.database).now()

    queue = counted.queues[QUEUE]
    assert numbers(queue) == {
        "pending": 3, "loading": 2, "waiting": 1, "failed": 1, "scheduled": 1,
    }  # fmt: skip
    assert (queue.leases, queue.leases_expired) == (Count(2), Count(1))
    assert (queue.fleet, queue.slots_each) == (Fleet(1, 3, 2), 3.0)
    assert counted.queues["idle"].fleet == Fleet(1, 3, 2)
    assert counted.fleet == Fleet(1, 3, 2)
    assert queue.wanted_executors == 2
    assert counted.queues["idle"].wanted_executors == 0


def test_no_more_is_counted_than_is_told(deep: Dibs) -> None:
    queue = CensusDesk(deep.database).now().queues["deep"]

    assert len(queue.states) == 4
    for count in queue.states.values():
        assert count.is_capped
        assert count.number <= MOST_COUNTED
    assert queue.leases == Count(0)


def test_leases_without_end_are_not_counted_to_the_end(
    dibs: Dibs, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "MOST_LEASES", 1)
    for _ in range(3):
        dibs.dispatch(executor)

    assert CensusDesk(dibs.database).now().queues[QUEUE].leases == Count(2, is_capped=True)


def test_small_queues_are_counted_wholly_and_cost_deep_ones_nothing(deep: Dibs) -> None:
    queues = CensusDesk(deep.database).now().queues

    assert queues["deep"].count("pending") == Count(MOST_COUNTED, is_capped=True)
    assert [queues[f"small-{n}"].count("waiting") for n in (1, SMALL_QUEUES)] == [
        Count(1),
        Count(SMALL_QUEUES),
    ]
    assert (queues["gated"].count("pending"), queues["gated"].gated) == (Count(70), Count(50))
    assert queues["gated"].wanted_executors == 20
    assert (queues["deep"].oldest_pending_seconds or 0) > 3_000


def test_of_many_deep_queues_fewer_are_counted_of_each(
    deep: Dibs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "FEW", 10)
    monkeypatch.setattr(census, "MOST_IN_ALL", 10_000)
    queues = CensusDesk(deep.database).now().queues

    # Twenty-two have more than ten pending runs, and share ten thousand.
    assert queues["deep"].count("pending") == Count(400, is_capped=True)
    assert queues["gated"].count("pending") == Count(70)
    assert queues["small-5"].count("pending") == Count(5)


def test_the_queues_of_a_token_are_added_up(deep: Dibs) -> None:
    counted = CensusDesk(deep.database).now()
    some = counted.by_state(("small-1", "small-2", "gated"))

    assert (some["pending"], some["waiting"], some["failed"]) == (Count(73), Count(3), Count(0))
    assert counted.by_state(("*",))["pending"].is_capped


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize(
    ("count", "index"),
    [
        (census.pending, "workflowRuns_claimable"),
        (census.resting, "workflowRuns_resting"),
        (census.leased, "workflowRuns_leased"),
        (serving.serving, "workflowRuns_leased"),
        (serving.fleet, "workflowRuns_leased"),
        (activity.finished, "activity_pkey"),
    ],
)
def test_everything_is_counted_along_its_index(
    deep: Dibs, filled: psycopg.Connection, count: Any, index: str, generic: bool
) -> None:
    with captured(deep.database.work) as sent, deep.database.work.connect() as connection:
        census.walk_indexes(connection)
        count(connection)
    with filled.transaction():
        filled.execute(sent[0].text.encode())
        root = plan(filled, sent[1], generic=generic)

    assert not scans_whole(root, "workflowRuns")
    walks = [node for node in nodes(root) if "Index Name" in node]
    assert {node["Index Name"] for node in walks} - {"executors_pkey"} == {index}
    assert {node["Node Type"] for node in walks} <= {"Index Scan", "Index Only Scan"}
    if count in (census.pending, census.resting):
        # Only the few that are next are looked up in the table, for their due time.
        looked_up = [node for node in walks if node["Node Type"] == "Index Scan"]
        assert len(looked_up) == (count is census.pending)


def test_a_census_begins_by_ruling_the_other_plans_out(dibs: Dibs) -> None:
    with (
        captured(dibs.database.work) as alone,
        dibs.database.work.connect() as connection,
    ):
        census.walk_indexes(connection)
    with captured(dibs.database.work) as sent:
        CensusDesk(dibs.database).now()

    assert sent[0].text == alone[0].text


def test_who_asks_within_the_time_is_given_what_was_counted(dibs: Dibs) -> None:
    counts = CensusDesk(dibs.database)
    first = counts.now(within_seconds=WAIT_SECONDS)
    dibs.pending()

    with captured(dibs.database.work) as statements:
        assert counts.now() is first
    assert not statements


def test_what_is_too_old_is_counted_again(dibs: Dibs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "KEPT_SECONDS", 0.0)
    counts = CensusDesk(dibs.database)
    before = counts.now()
    dibs.pending()
    after = counts.now()

    assert QUEUE not in before.queues
    assert numbers(after.queues[QUEUE]) == {"pending": 1}


def test_a_census_that_costs_much_is_not_taken_often(
    dibs: Dibs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "TIMES_ITS_COST", 1_000_000)
    counts = CensusDesk(dibs.database)

    assert counts.now(within_seconds=0) is counts.now(within_seconds=0)


def test_while_one_counts_the_others_are_given_what_is_kept(
    dibs: Dibs, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = CensusDesk(dibs.database)
    first = counts.now()
    monkeypatch.setattr(desk, "KEPT_SECONDS", 0.0)
    with ThreadPoolExecutor(1) as threads:
        with held_up(dibs) as begun:
            counting = threads.submit(counts.now)
            assert begun.wait(WAIT_SECONDS)
            assert counts.now() is first
        assert counting.result(WAIT_SECONDS) is not first


def test_who_comes_before_the_first_is_counted_waits_for_it(dibs: Dibs) -> None:
    counts = CensusDesk(dibs.database)
    with captured(dibs.database.work) as statements, ThreadPoolExecutor(3) as threads:
        with held_up(dibs) as begun:
            asking = [threads.submit(counts.now) for _ in range(3)]
            assert begun.wait(WAIT_SECONDS)
        found = [each.result(WAIT_SECONDS) for each in asking]

    assert found[0] is found[1] is found[2]
    assert (
        len([each for each in statements if "resting" in each.text or "RECURSIVE" in each.text])
        == 2
    )


def test_what_is_kept_outlasts_a_database_that_does_not_answer(
    dibs: Dibs, database: Database, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = CensusDesk(dibs.database)
    first = counts.now()
    no_count(database, owner)
    monkeypatch.setattr(desk, "KEPT_SECONDS", 0.0)
    kept = counts.now()
    monkeypatch.setattr(desk, "STALE_SECONDS", 0.0)

    assert kept is first
    with pytest.raises(Unavailable):
        counts.now()


def test_a_refusal_is_everybodys_for_a_moment(
    dibs: Dibs, database: Database, owner: psycopg.Connection
) -> None:
    no_count(database, owner)
    counts = CensusDesk(dibs.database)
    with pytest.raises(Unavailable):
        counts.now()

    with captured(dibs.database.work) as statements, pytest.raises(Unavailable):
        counts.now()
    assert not statements


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, 4),
        ({"slots_each": 1.0}, 13),
        ({"gated": Count(9)}, 1),
        ({"settings": QueueSettings("q", paused=True)}, 1),
        ({"settings": QueueSettings("q", max_concurrency=5)}, 2),
        ({"settings": QueueSettings("q", max_concurrency=1)}, 1),
        ({"states": {}}, 0),
    ],
)
def test_as_many_executors_are_wanted_as_could_be_kept_busy(
    changes: dict[str, Any], wanted: int
) -> None:
    states = {"pending": Count(10), "loading": Count(1), "started": Count(2)}
    queue = QueueCensus("q", **{"states": states, "slots_each": 4.0, **changes})

    assert queue.wanted_executors == wanted


def test_executors_are_wanted_when_there_are_none(
    dibs: Dibs, executor: Executor, owner: psycopg.Connection
) -> None:
    dibs.register(executor, slots=5, queues=(QUEUE,))
    owner.execute("UPDATE executors SET \"seenAt\" = clock_timestamp() - interval '1 hour'")
    for _ in range(11):
        dibs.pending()
        dibs.pending(queue="unknown")
    queues = CensusDesk(dibs.database).now().queues

    assert queues[QUEUE].fleet == Fleet(0, 0, 0)
    assert queues[QUEUE].wanted_executors == 3
    assert queues["unknown"].wanted_executors == 11

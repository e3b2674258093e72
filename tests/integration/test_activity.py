"""What happened is counted by the minute, the hour and the day, by every process and once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, event

from orchestrator.errors import OutcomeUnknown, Unavailable
from orchestrator.store import activity
from orchestrator.store.activity import DAY, HOUR, MINUTE, Counted
from orchestrator.store.transaction import transact
from tests.acceptance.waiting import eventually
from tests.database import Database
from tests.integration.dibs import Dibs, activity_of
from tests.integration.face import Face
from tests.integration.statements import captured, nodes, plan, scans_whole
from tests.integration.wishes import QUEUE, Executor, outcome


def written(dibs: Dibs) -> dict[str, int]:
    """What a day's row says of the queue once all is written; without what is 0."""
    activity_of(dibs).write()
    return of_day(dibs)


def of_day(dibs: Dibs, queue: str = QUEUE) -> dict[str, int]:
    rows = dibs.sql('SELECT * FROM activity WHERE "spanSeconds" = %s AND queue = %s', DAY, queue)
    totals = {counted.value: sum(row[counted.value] for row in rows) for counted in Counted}
    return {name: number for name, number in totals.items() if number}


def insert(dibs: Dibs, span_seconds: int, age: str, queue: str = QUEUE) -> None:
    dibs.sql(
        'INSERT INTO activity ("spanSeconds", "beganAt", queue, created)'
        " VALUES (%s, clock_timestamp() - CAST(%s AS interval), %s, 1)",
        span_seconds,
        age,
        queue,
    )


@pytest.fixture
def twin(database: Database, owner: psycopg.Connection) -> Iterator[Dibs]:
    """Another orchestrator on the same database."""
    with closing(Dibs(database.service_url, owner)) as twin:
        yield twin


def test_a_run_from_its_create_to_its_end(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.tell(dispatch, executor, "success")

    assert written(dibs) == {"created": 1, "claimed": 1, "reported": 1, "finished": 1}


def test_a_claim_by_poll_and_its_repeat(dibs: Dibs, executor: Executor) -> None:
    request_id = dibs.pending().id
    dibs.pending()
    for _ in range(2):
        dibs.claim(executor, limit=2, request_id=request_id)

    assert written(dibs) == {"created": 2, "claimed": 2, "replayed": 2}


def test_an_error_is_tried_again_until_it_fails(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor, max_failures=2)
    dibs.tell(dispatch, executor, "error", message="no")
    dibs.make_due(dispatch.run.id)
    dibs.tick()
    (again,) = dibs.claim(executor).dispatches
    dibs.tell(again, executor, "error", message="no")
    dibs.retry(dispatch.run.id)

    assert written(dibs) == {
        "created": 1, "claimed": 2, "reported": 2, "retried": 2, "failed": 1,
    }  # fmt: skip


def test_leases_that_end_without_a_report(dibs: Dibs, executor: Executor) -> None:
    dibs.release(executor, dibs.dispatch(executor))
    (dispatch,) = dibs.claim(executor).dispatches
    dibs.expire(dispatch.run.id)
    dibs.tick()
    dibs.forgive()
    (orphan,) = dibs.claim(executor).dispatches
    dibs.reconcile(executor, as_of=dibs.now())
    dibs.abort(orphan.run.id)

    assert written(dibs) == {
        "created": 1, "claimed": 3, "released": 2, "expired": 1, "aborted": 1,
    }  # fmt: skip


def test_an_act_that_is_repeated_counts_once(dibs: Dibs) -> None:
    run = dibs.pending()
    for _ in range(2):
        dibs.abort(run.id, key="k")

    assert written(dibs) == {"created": 1, "aborted": 1}


def test_a_report_that_is_repeated_counts_once(dibs: Dibs, executor: Executor) -> None:
    told = outcome(dibs.dispatch(executor), executor, "success")
    for _ in range(2):
        dibs.report(told)

    assert written(dibs) == {"created": 1, "claimed": 1, "reported": 1, "finished": 1}
    assert of_day(dibs, "(others)") == {"replayed": 1}


def test_a_schedule_that_fires_creates(face: Face) -> None:
    face.schedule("hourly", queue="scheduled")
    face.sql("UPDATE schedules SET \"nextAt\" = now() - interval '1 s'")
    face.tick()
    face.services.activity.write()

    # Another one is alive, so that this one is left out.
    face.sql("UPDATE schedules SET \"nextAt\" = now() - interval '1 s'")
    face.tick()
    face.services.activity.write()

    (row,) = face.sql(
        "SELECT created FROM activity WHERE queue = 'scheduled' AND \"spanSeconds\" = 86400"
    )
    assert row == {"created": 1}


def test_two_processes_add_to_the_same_rows(dibs: Dibs, twin: Dibs) -> None:
    for each in (dibs, twin, dibs):
        each.pending()
        activity_of(each).write()

    assert of_day(dibs) == {"created": 3}
    spans = dibs.sql('SELECT DISTINCT "spanSeconds" AS span FROM activity ORDER BY span')
    assert [row["span"] for row in spans] == [MINUTE, HOUR, DAY]


def test_nothing_is_sent_while_nothing_happens(dibs: Dibs) -> None:
    with captured(dibs.database.work) as statements:
        activity_of(dibs).write()

    assert not statements


def test_what_cannot_be_written_is_written_later(
    dibs: Dibs, database: Database, owner: psycopg.Connection
) -> None:
    def may(verb: str) -> None:
        owner.execute(sql.SQL(f"{verb} {{}}").format(sql.Identifier(database.service_role)))

    dibs.pending()
    may("REVOKE INSERT ON activity FROM")
    with pytest.raises(Unavailable):
        activity_of(dibs).write()
    may("GRANT INSERT ON activity TO")
    dibs.pending()

    assert written(dibs) == {"created": 2}


def test_what_may_have_been_written_is_not_counted_twice(dibs: Dibs) -> None:
    def commit_and_go(connection: Connection) -> None:
        link: Any = connection.connection.dbapi_connection
        link.commit()
        link.close()

    dibs.pending()
    event.listen(dibs.database.work, "commit", commit_and_go, once=True)
    try:
        activity_of(dibs).write()
    except OutcomeUnknown:
        pytest.fail("It is looked up, which finds nothing to do.")

    assert written(dibs) == {"created": 1}


def test_the_thread_writes_what_is_left_when_it_is_told_to_end(dibs: Dibs) -> None:
    thread = activity_of(dibs)
    thread.start()
    dibs.pending()
    thread.stop()

    assert of_day(dibs) == {"created": 1}


def test_the_thread_writes_every_few_seconds(dibs: Dibs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.desk.activity.EVERY_SECONDS", 0.01)
    thread = activity_of(dibs)
    thread.start()
    try:
        for number in (1, 2):
            dibs.pending()
            eventually(lambda number=number: of_day(dibs) == {"created": number})
    finally:
        thread.stop()


def test_a_series_has_a_point_for_each_span_and_the_queues_of_its_token(dibs: Dibs) -> None:
    for queue in ("billing", "refunds.eu", "refunds.us", "other"):
        dibs.pending(queue=queue)
    activity_of(dibs).write()
    insert(dibs, HOUR, "1 day")

    def points(**wanted: Any) -> list[int]:
        plain = {"span_seconds": DAY, "points": 3, "queue_patterns": ("billing", "refunds.*")}
        found = transact(
            dibs.database.work,
            lambda connection: activity.series(connection, **{**plain, **wanted}),
        )
        began = [point.began_at for point in found]
        assert began == sorted(began)
        return [point.numbers[Counted.CREATED] for point in found]

    # The day may have ended since it was written.
    assert sum(points()) == 3
    assert len(points()) == 3
    assert sum(points(queue="refunds.eu")) == 1
    assert sum(points(queue="other")) == 0
    assert sum(points(queue_patterns=("*",))) == 4
    assert len(points(span_seconds=MINUTE, points=60)) == 60


def test_of_each_span_the_most_that_were_pending_are_kept(dibs: Dibs, executor: Executor) -> None:
    for _ in range(2):
        dibs.pending()
        dibs.pending(queue="other")
    activity_of(dibs).look()
    dibs.claim(executor)
    activity_of(dibs).look()

    rows = dibs.sql(
        'SELECT queue, max("mostPending") AS most FROM activity WHERE "spanSeconds" = 86400'
        " GROUP BY queue"
    )
    assert {row["queue"]: row["most"] for row in rows} == {QUEUE: 2, "other": 2}
    points = transact(
        dibs.database.work,
        lambda connection: activity.series(
            connection, span_seconds=DAY, points=2, queue_patterns=(QUEUE,)
        ),
    )
    assert max(point.most_pending for point in points) == 2


def test_of_each_span_the_longest_that_a_run_was_due_is_kept(dibs: Dibs) -> None:
    def noted(**oldest: int) -> None:
        pending = {queue: activity.Pending(1, seconds) for queue, seconds in oldest.items()}
        transact(dibs.database.work, lambda connection: activity.note_pending(connection, pending))

    noted(one=30, two=7)
    noted(one=12, two=9)

    rows = dibs.sql('SELECT queue, max("oldestPendingSeconds") AS s FROM activity GROUP BY queue')
    assert {row["queue"]: row["s"] for row in rows} == {"one": 30, "two": 9}
    points = transact(
        dibs.database.work,
        lambda connection: activity.series(
            connection, span_seconds=DAY, points=2, queue_patterns=("*",)
        ),
    )
    assert max(point.oldest_pending_seconds for point in points) == 30


def test_the_thread_looks_how_many_wait(dibs: Dibs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.desk.activity.EVERY_SECONDS", 0.01)
    dibs.pending()
    thread = activity_of(dibs)
    thread.start()
    try:
        eventually(lambda: dibs.sql('SELECT 1 FROM activity WHERE "mostPending" = 1'))
    finally:
        thread.stop()


def test_each_queue_in_the_last_spans(dibs: Dibs) -> None:
    dibs.pending(queue="a")
    dibs.pending(queue="b")
    activity_of(dibs).write()
    insert(dibs, MINUTE, "1 hour", "c")
    found = transact(
        dibs.database.work,
        lambda connection: activity.by_queue(connection, span_seconds=MINUTE, points=10),
    )

    assert {queue: numbers[Counted.CREATED] for queue, numbers in found.items()} == {"a": 1, "b": 1}


@pytest.mark.parametrize(("retention_days", "kept"), [(30, 3), (0, 4)])
def test_what_is_older_than_is_shown_goes(dibs: Dibs, retention_days: int, kept: int) -> None:
    for span, ages in (
        (MINUTE, ("25 hours", "27 hours")),
        (HOUR, ("7 days", "9 days")),
        (DAY, ("29 days", "31 days")),
    ):
        for age in ages:
            insert(dibs, span, age)
    dibs.set_keeper(awake=True, prune_is_due=True)
    dibs.tick(retention_days=retention_days)

    assert dibs.sql("SELECT count(*) FROM activity") == [{"count": kept}]


def test_what_is_finished_is_added_up_by_queue(dibs: Dibs, executor: Executor) -> None:
    for _ in range(2):
        dibs.tell(dibs.dispatch(executor), executor, "success")
    activity_of(dibs).write()

    assert transact(dibs.database.work, activity.finished) == {QUEUE: 2}


# As many minutes and hours of twenty queues as are kept.
FILL = f"""
INSERT INTO activity ("spanSeconds", "beganAt", queue, created)
SELECT s.seconds, to_timestamp(floor(extract(epoch FROM now()) / s.seconds) * s.seconds
                               - s.seconds * n), 'q' || q, 1
  FROM (VALUES ({MINUTE}, 1560), ({HOUR}, 192), ({DAY}, 30)) AS s(seconds, kept)
 CROSS JOIN LATERAL generate_series(0, s.kept - 1) AS n
 CROSS JOIN generate_series(1, 20) AS q;
"""


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize(
    "read",
    [
        lambda connection: activity.series(
            connection, span_seconds=MINUTE, points=60, queue_patterns=("q1", "x.*")
        ),
        lambda connection: activity.by_queue(connection, span_seconds=MINUTE, points=5),
    ],
)
def test_it_is_read_along_its_key(
    module_database: Database,
    filled: psycopg.Connection,
    read: Callable[[Connection], object],
    generic: bool,
) -> None:
    with (
        closing(Dibs(module_database.service_url, filled)) as dibs,
        captured(dibs.database.work) as sent,
        dibs.database.work.connect() as connection,
    ):
        read(connection)
    root = plan(filled, sent[0], generic=generic)

    assert not scans_whole(root, "activity")
    assert "activity_pkey" in [node.get("Index Name") for node in nodes(root)]

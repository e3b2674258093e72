"""From where claims look along a queue while an old snapshot is held, and when not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC

import psycopg
import pytest

from orchestrator.desk import snapshot_watch, starting_points
from orchestrator.desk.keeper import Keeper
from orchestrator.desk.starting_points import StartingPoints
from tests.acceptance.waiting import eventually
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.statements import captured
from tests.integration.wishes import Executor

FLEET = Executor("fleet:one")
FRONT = "-infinity"


@pytest.fixture(autouse=True)
def every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresh does all of its work, and a snapshot is old at once."""
    monkeypatch.setattr(starting_points, "WATCH_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(starting_points, "LOOK_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(snapshot_watch, "OLD_SECONDS", 0.0)


@pytest.fixture
def holder(database: Database) -> Iterator[psycopg.Connection]:
    """Somebody who holds an old snapshot."""
    with closing(psycopg.connect(database.owner_url)) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT 1")
        yield connection


@pytest.fixture
def watchful(dibs: Dibs, holder: psycopg.Connection) -> Dibs:
    """A process that knows of the holder."""
    dibs.points.refresh(dibs.database)
    return dibs


def began_at(dibs: Dibs) -> list[str]:
    """Claim one run: where each look of this claim began."""
    with captured(dibs.database.work) as sent:
        dibs.claim(FLEET)
    return [each.values["from_key"] for each in sent if "from_key" in each.values]


def test_without_an_old_snapshot_every_claim_looks_from_the_front(
    dibs: Dibs, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Autovacuum may hold one at this moment.
    monkeypatch.setattr(snapshot_watch, "OLD_SECONDS", 60.0)
    for _ in range(3):
        dibs.pending()
    dibs.points.refresh(dibs.database)
    assert [began_at(dibs) for _ in range(3)] == [[FRONT]] * 3


def test_while_one_is_held_a_claim_begins_where_the_last_one_found_a_run(watchful: Dibs) -> None:
    for _ in range(3):
        watchful.pending()
    [first] = watchful.claim(FLEET).dispatches
    [(key,)] = watchful.owner.execute(
        'SELECT "claimKey" FROM "workflowRuns" WHERE id = %s', [first.run.id]
    ).fetchall()
    assert began_at(watchful) == [key.astimezone(UTC).isoformat()]


def test_a_process_finds_out_by_itself(dibs: Dibs, holder: psycopg.Connection) -> None:
    keeper = Keeper(dibs.database, dibs.signs, dibs.points, retention_days=30)
    keeper.start()

    def begins_at_a_point() -> bool:
        dibs.pending()
        dibs.claim(FLEET)
        return dibs.points.of("default") is not None

    try:
        eventually(begins_at_a_point)
    finally:
        keeper.stop()


def test_what_comes_before_the_point_is_found_by_the_next_look(watchful: Dibs) -> None:
    runs = [watchful.pending() for _ in range(4)]
    watchful.claim(FLEET)
    urgent = watchful.pending(priority=100)

    [overtaking] = watchful.claim(FLEET).dispatches
    assert overtaking.run.id == runs[1].id
    watchful.points.refresh(watchful.database)
    [found] = watchful.claim(FLEET).dispatches
    assert found.run.id == urgent.id
    [after] = watchful.claim(FLEET).dispatches
    assert after.run.id == runs[2].id


def test_nothing_is_not_said_before_everything_was_looked_at(watchful: Dibs) -> None:
    for _ in range(2):
        watchful.pending()
    watchful.claim(FLEET, limit=2)
    urgent = watchful.pending(priority=100)
    [found] = watchful.claim(FLEET).dispatches
    assert found.run.id == urgent.id
    assert watchful.claim(FLEET).dispatches == ()


def test_a_claim_that_began_before_a_look_does_not_undo_it(watchful: Dibs) -> None:
    for _ in range(3):
        watchful.pending()
    watchful.claim(FLEET)
    queue = "default"
    used = watchful.points.of(queue)
    watchful.pending(priority=100)
    watchful.points.refresh(watchful.database)
    lowered = watchful.points.of(queue)
    assert used is not None
    assert lowered is not None
    assert lowered < used

    watchful.points.move(queue, used=used, to=used)
    assert watchful.points.of(queue) == lowered


@pytest.mark.fault("F41")
def test_when_the_snapshot_is_gone_claims_look_from_the_front_again(
    watchful: Dibs, holder: psycopg.Connection
) -> None:
    for _ in range(3):
        watchful.pending()
    watchful.claim(FLEET)
    assert watchful.points.of("default") is not None
    holder.rollback()
    watchful.points.refresh(watchful.database)
    assert watchful.points.of("default") is None
    assert began_at(watchful) == [FRONT]


def test_queues_beyond_those_that_are_remembered_are_looked_through_from_the_front(
    watchful: Dibs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting_points, "REMEMBERED_QUEUES", 0)
    for _ in range(2):
        watchful.pending()
    watchful.claim(FLEET)
    assert began_at(watchful) == [FRONT]


def test_nobody_who_has_not_looked_for_snapshots_remembers_a_point(dibs: Dibs) -> None:
    points = StartingPoints()
    points.move("default", used=None, to=dibs.now())
    assert points.of("default") is None

"""Schedules: each due time fires once, whoever and however many look at the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import orjson
import psycopg
import pytest
from uuid_utils.compat import uuid7

from orchestrator.desk import schedule_acts
from orchestrator.desk.schedules import create_run, fire_due
from orchestrator.lifecycle import ActKind, Role
from orchestrator.store import schedules
from orchestrator.store.operator_acts import OperatorAct
from orchestrator.store.transaction import transact
from tests.database import Database
from tests.integration.blocking import waits_for_a_lock
from tests.integration.face import Face, Json, fresh_name, problem, step
from tests.integration.racing import at_once

# Its times are set by the tests, and never come by themselves while one runs.
SELDOM = "0 0 1 1 *"
QUEUE_UP = {"overlap": "queue"}

# Whoever waits for a lock, and has written to the runs before.
WRITES_RUNS = """
SELECT l.pid FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
 WHERE c.relname = 'workflowRuns' AND l.mode = 'RowExclusiveLock'
   AND l.pid IN (SELECT pid FROM pg_locks WHERE NOT granted)
"""


@pytest.fixture
def name(face: Face) -> Iterator[str]:
    """A schedule of the test's own; none is left behind to fire in another test."""
    name = fresh_name("schedule")
    yield name
    face.send(Role.OPERATOR, "DELETE", f"/v1/schedules/{name}")


@pytest.fixture(scope="module")
def processes(face: Face, module_database: Database) -> Iterator[list[Face]]:
    """Eight orchestrators on one database."""
    with ExitStack() as open_ones:
        owner = open_ones.enter_context(
            closing(psycopg.connect(module_database.owner_url, autocommit=True))
        )
        yield [
            open_ones.enter_context(closing(Face(module_database, owner, tokens=face.tokens)))
            for _ in range(8)
        ]


def come_due(face: Face, name: str, *, seconds_ago: float = 1) -> datetime:
    """Let the schedule's next time have come; when that was."""
    row = face.sql(
        'UPDATE schedules SET "nextAt" = clock_timestamp() - make_interval(secs => %s)'
        ' WHERE name = %s RETURNING "nextAt"',
        seconds_ago,
        name,
    )
    due: datetime = row[0]["nextAt"]
    return due


def shown(face: Face, name: str) -> Json:
    return face.ask(Role.VIEWER, "GET", f"/v1/schedules/{name}")


def runs(face: Face, name: str) -> list[Json]:
    """The runs of a schedule, newest first."""
    items: list[Json] = face.ask(Role.VIEWER, "GET", f"/v1/runs?queue=of-{name}")["items"]
    return items


def run_now(face: Face, name: str, key: str | None = None) -> Json:
    headers = {"Idempotency-Key": key} if key else {}
    return face.ask(Role.OPERATOR, "POST", f"/v1/schedules/{name}/run-now", {}, headers)


def set_paused(face: Face, name: str, *, paused: bool) -> None:
    """As a page does it."""
    schedule_acts.set_paused(
        face.services.database,
        name,
        paused=paused,
        line=OperatorAct(uuid7(), "operator", ActKind.PUT_SCHEDULE, name),
        queues=("*",),
    )


def last_act(face: Face) -> Json:
    lines: list[Json] = face.ask(Role.VIEWER, "GET", "/v1/audit?limit=1")["items"]
    return lines[0]


def test_a_schedule_is_shown_as_it_was_put_with_its_next_time(face: Face, name: str) -> None:
    put = face.schedule(name, cron="30 2 * * *", timeZone="Europe/Berlin", input={"a": 1})

    now = face.sql("SELECT clock_timestamp() AS now")[0]["now"]
    assert put == shown(face, name)
    assert timedelta() < datetime.fromisoformat(put["nextAt"]) - now <= timedelta(hours=25)
    assert (put["lastAt"], put["lastRunId"], put["overlap"]) == (None, None, "skip")
    assert name in [one["name"] for one in face.ask(Role.VIEWER, "GET", "/v1/schedules")["items"]]


def test_a_due_schedule_makes_one_run_and_goes_on_to_its_next_time(face: Face, name: str) -> None:
    workflow = face.define(step("gather", "send"), step("send"))
    face.schedule(name, workflow=workflow, cron=SELDOM, input={"a": 1})
    due = come_due(face, name)
    for _ in range(3):
        face.tick()

    (run,) = runs(face, name)
    after = shown(face, name)
    assert (run["workflow"], run["input"], run["stepName"]) == (workflow, {"a": 1}, "gather")
    assert (run["workflowVersion"], run["createdBy"]) == (1, f"schedule:{name}")
    assert (after["lastRunId"], datetime.fromisoformat(after["lastAt"])) == (
        run["id"],
        due.replace(microsecond=due.microsecond // 1000 * 1000),
    )
    assert datetime.fromisoformat(after["nextAt"]) > due


def test_a_time_that_has_not_come_fires_nothing(face: Face, name: str) -> None:
    face.schedule(name)
    face.tick()

    assert runs(face, name) == []


def test_with_eight_keepers_at_once_each_due_time_fires_once(
    face: Face, processes: list[Face], name: str
) -> None:
    face.schedule(name, cron=SELDOM, **QUEUE_UP)
    for fired in range(1, 11):
        come_due(face, name)

        at_once(*(each.tick for each in processes))

        # One of them had the lock; the others may have found nothing to do.
        face.tick()
        assert len(runs(face, name)) == fired


def test_even_without_the_keepers_lock_each_due_time_fires_once(
    face: Face, processes: list[Face], name: str
) -> None:
    face.schedule(name, cron=SELDOM, **QUEUE_UP)
    for fired in range(1, 11):
        come_due(face, name)

        at_once(
            *(
                partial(transact, each.services.database.leases, partial(fire_due, limit=5))
                for each in processes
            )
        )

        assert len(runs(face, name)) == fired


def test_a_due_time_that_was_fired_is_not_fired_again_though_the_clock_stepped_back(
    face: Face, name: str
) -> None:
    face.schedule(name, cron=SELDOM, **QUEUE_UP)
    due = come_due(face, name)
    face.tick()
    face.sql('UPDATE schedules SET "nextAt" = %s WHERE name = %s', due, name)
    face.tick()

    assert len(runs(face, name)) == 1


def test_after_an_outage_of_three_hours_it_catches_up_once(face: Face, name: str) -> None:
    now = face.sql("SELECT clock_timestamp() AS now")[0]["now"]
    half_past = (now.minute + 30) % 60
    face.schedule(name, cron=f"{half_past} * * * *", **QUEUE_UP)
    come_due(face, name, seconds_ago=3 * 3600)
    for _ in range(3):
        face.tick()

    assert len(runs(face, name)) == 1
    assert datetime.fromisoformat(shown(face, name)["nextAt"]) > now


def test_skip_makes_no_run_while_the_last_one_lives(face: Face, name: str) -> None:
    face.schedule(name, cron=SELDOM)
    come_due(face, name)
    face.tick()
    first = shown(face, name)
    come_due(face, name)
    face.tick()
    skipped = shown(face, name)
    face.abort(first["lastRunId"])
    come_due(face, name)
    face.tick()

    assert skipped["lastRunId"] == first["lastRunId"]
    assert skipped["lastAt"] > first["lastAt"]
    assert len(runs(face, name)) == 2


def test_queue_makes_a_run_in_any_case(face: Face, name: str) -> None:
    face.schedule(name, cron=SELDOM, **QUEUE_UP)
    for _ in range(2):
        come_due(face, name)
        face.tick()

    assert [run["runState"] for run in runs(face, name)] == ["pending", "pending"]


def test_a_paused_one_fires_not_and_what_it_missed_is_not_made_up_for(
    face: Face, name: str
) -> None:
    face.schedule(name, cron=SELDOM, paused=True)
    come_due(face, name, seconds_ago=3600)
    face.tick()
    while_paused = runs(face, name)
    resumed = face.schedule(name, cron=SELDOM)
    face.tick()

    now = face.sql("SELECT clock_timestamp() AS now")[0]["now"]
    assert (while_paused, runs(face, name)) == ([], [])
    assert datetime.fromisoformat(resumed["nextAt"]) > now


def test_a_deleted_one_fires_not_and_its_runs_stay(face: Face, name: str) -> None:
    face.schedule(name, cron=SELDOM, **QUEUE_UP)
    come_due(face, name)
    face.tick()
    come_due(face, name)

    deleted = face.send(Role.OPERATOR, "DELETE", f"/v1/schedules/{name}")
    face.tick()

    assert (deleted.status_code, deleted.data) == (204, b"")
    assert len(runs(face, name)) == 1
    assert problem(face.send(Role.VIEWER, "GET", f"/v1/schedules/{name}")) == (404, "not-found")
    assert problem(face.send(Role.OPERATOR, "DELETE", f"/v1/schedules/{name}"))[0] == 404


def test_a_changed_one_goes_by_what_it_is_now(face: Face, name: str) -> None:
    face.schedule(name, cron=SELDOM, input=1, **QUEUE_UP)
    come_due(face, name)
    face.tick()
    before = shown(face, name)

    changed = face.schedule(name, cron="0 0 2 1 *", input=2, workflow="other", **QUEUE_UP)
    face.tick()
    come_due(face, name)
    face.tick()

    assert changed["lastRunId"] == before["lastRunId"]
    assert changed["nextAt"].endswith("-01-02T00:00:00.000Z")
    newest, oldest = runs(face, name)
    assert (oldest["input"], newest["input"], newest["workflow"]) == (1, 2, "other")


def test_a_change_that_comes_while_it_fires_is_not_lost(face: Face, name: str) -> None:
    face.schedule(name, cron=SELDOM, **QUEUE_UP)
    come_due(face, name)
    with (
        ThreadPoolExecutor(1) as operator,
        face.services.database.leases.begin() as connection,
    ):
        (due,) = schedules.due(connection, limit=1)
        change = operator.submit(face.schedule, name, cron="0 0 2 1 *", **QUEUE_UP)
        assert waits_for_a_lock(face.owner)
        schedules.fired(connection, name, at=due.changed_at, run_id=None, next_at=due.changed_at)
        connection.commit()
        change.result()

    assert shown(face, name)["nextAt"].endswith("-01-02T00:00:00.000Z")


def test_run_now_makes_a_run_beside_the_times_paused_or_not(face: Face, name: str) -> None:
    put = face.schedule(name, paused=True, **QUEUE_UP)

    made = [run_now(face, name)["runId"] for _ in range(2)]

    assert len(set(made)) == 2
    assert {run["id"] for run in runs(face, name)} == set(made)
    assert shown(face, name)["nextAt"] == put["nextAt"]


def test_run_now_can_be_repeated_by_its_key(face: Face, name: str) -> None:
    face.schedule(name, **QUEUE_UP)

    first = run_now(face, name, "k")
    again = [
        run_now(face, name, "k"),
        *at_once(*[partial(run_now, face, name, "k") for _ in range(8)]),
    ]
    other = run_now(face, name, "j")

    assert again == [first] * 9
    assert other != first
    assert len(runs(face, name)) == 2


def test_run_now_heeds_the_overlap_and_says_so(face: Face, name: str) -> None:
    face.schedule(name)
    first = run_now(face, name)["runId"]

    refused = run_now(face, name)["runId"]
    face.abort(first)
    third = run_now(face, name)["runId"]

    assert refused is None
    assert third not in (None, first)


def test_what_was_run_now_is_the_last_run(face: Face, name: str) -> None:
    put = face.schedule(name, **QUEUE_UP)
    first = run_now(face, name, "k")["runId"]
    second = run_now(face, name)["runId"]
    after = shown(face, name)
    run_now(face, name, "k")

    assert first != second
    assert after["lastRunId"] == second
    assert after["lastAt"] >= face.run(second)["createdAt"]
    assert after | {"lastAt": None, "lastRunId": None} == put
    # A repeat of what was done before does not take the last run's place.
    assert shown(face, name) == after


def test_what_overlap_kept_from_running_now_is_not_the_last_run(face: Face, name: str) -> None:
    face.schedule(name)
    first = run_now(face, name)["runId"]
    after = shown(face, name)

    assert run_now(face, name)["runId"] is None
    assert shown(face, name) == after
    assert after["lastRunId"] == first


def test_run_now_waits_for_the_schedule_to_fire(face: Face, name: str) -> None:
    face.schedule(name, cron=SELDOM)
    come_due(face, name)
    with (
        ThreadPoolExecutor(1) as operator,
        face.services.database.leases.begin() as connection,
    ):
        (due,) = schedules.due(connection, limit=1, only=name)
        pressed = operator.submit(run_now, face, name)
        assert waits_for_a_lock(face.owner)
        # Had it written a run by now, these two would wait for each other.
        assert face.sql(WRITES_RUNS) == []
        fired = create_run(connection, due, key="due")
        connection.commit()

        assert pressed.result()["runId"] is None
    assert [run["id"] for run in runs(face, name)] == [str(fired)]


def test_a_schedule_is_paused_and_goes_on(face: Face, name: str) -> None:
    put = face.schedule(name, cron="0 0 2 1 *")
    come_due(face, name)
    set_paused(face, name, paused=True)
    face.tick()
    paused, line = shown(face, name), last_act(face)
    set_paused(face, name, paused=True)

    assert (paused["paused"], runs(face, name)) == (True, [])
    assert (line["kind"], line["subject"], line["queue"]) == ("put-schedule", name, f"of-{name}")
    assert line["detail"] == {"paused": True}
    assert last_act(face) == line

    set_paused(face, name, paused=False)
    face.tick()

    assert (shown(face, name)["paused"], shown(face, name)["nextAt"]) == (False, put["nextAt"])
    assert (runs(face, name), last_act(face)["detail"]) == ([], {"paused": False})


def test_a_key_that_looks_like_a_due_time_is_none(face: Face, name: str) -> None:
    face.schedule(name, cron=SELDOM, **QUEUE_UP)
    due = come_due(face, name)
    run_now(face, name, due.isoformat())
    face.tick()

    assert len(runs(face, name)) == 2


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"cron": "x"}, "/cron"),
        ({"cron": "0 0 30 2 *"}, "/cron"),
        ({"cron": "* * * * * *"}, "/cron"),
        ({"cron": ""}, "/cron"),
        ({"cron": None}, "/cron"),
        ({"timeZone": "Europe/Nope"}, "/timeZone"),
        ({"timeZone": "../../../etc/passwd"}, "/timeZone"),
        ({"overlap": "cancel"}, "/overlap"),
        ({"workflow": "a b"}, "/workflow"),
        ({"queue": "a b"}, "/queue"),
        ({"every": 5}, "/every"),
    ],
)
def test_a_bad_schedule_is_refused_by_name_and_changes_nothing(
    face: Face, name: str, members: dict[str, Any], path: str
) -> None:
    before = face.schedule(name)
    body = {"workflow": "nightly-report", "cron": "0 2 * * *", "queue": f"of-{name}"} | members

    answer = face.send(Role.OPERATOR, "PUT", f"/v1/schedules/{name}", body)

    assert problem(answer) == (422, "validation")
    assert path in [error["path"] for error in orjson.loads(answer.data)["errors"]]
    assert shown(face, name) == before


def test_one_schedule_that_went_bad_does_not_stop_the_others(face: Face, name: str) -> None:
    """Its zone has gone from the machine's list, or cronsim has changed its mind."""
    bad = fresh_name("schedule")
    face.schedule(bad, cron=SELDOM)
    face.schedule(name, cron=SELDOM)
    face.sql("UPDATE schedules SET \"timeZone\" = 'Atlantis/Poseidon' WHERE name = %s", bad)
    come_due(face, bad, seconds_ago=5)
    come_due(face, name)
    try:
        face.tick()

        assert len(runs(face, name)) == 1
        assert shown(face, bad)["nextAt"] is None
    finally:
        face.send(Role.OPERATOR, "DELETE", f"/v1/schedules/{bad}")


def test_the_keeper_of_a_real_process_fires_by_itself(face: Face, name: str) -> None:
    face.schedule(name, cron=SELDOM)
    come_due(face, name)
    keeper = face.services.keeper
    keeper.start()
    try:
        deadline = time.monotonic() + 5
        while not runs(face, name) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        keeper.stop()

    assert len(runs(face, name)) == 1

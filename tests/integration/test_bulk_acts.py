"""Bulk acts: every run of a filter, each for itself, and counted once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from orchestrator.desk import acts, bulk
from orchestrator.desk.bulk import BulkWish
from orchestrator.lifecycle import ActKind, Role
from orchestrator.store import bulk_acts, patience
from orchestrator.store.bulk_acts import BulkKey
from orchestrator.store.operator_acts import OperatorAct
from orchestrator.store.run_filter import RunFilter
from tests.integration.face import Face, fresh_name, problem

Json = dict[str, Any]

NEVER = threading.Event()


@pytest.fixture
def queue() -> str:
    return fresh_name("queue")


def line() -> OperatorAct:
    return OperatorAct(uuid4(), "ops", ActKind.ABORT_RUNS, "key", request_id="r")


def create(face: Face, queue: str, count: int) -> list[str]:
    return [face.create("refund", queue=queue)["id"] for _ in range(count)]


def bulk_of(
    face: Face,
    act: str,
    filter_: Json,
    *,
    key: str | None = None,
    role: Role = Role.CLIENT,
    **members: Any,
) -> Json:
    headers = {"Idempotency-Key": key} if key else None
    body = {"filter": filter_, **members}
    return face.ask(role, "POST", f"/v1/bulk/{act}", body, headers)


def counts(answer: Json) -> tuple[int, int, int]:
    return answer["matched"], answer["changed"], answer["refused"]


def test_every_run_of_the_filter_is_aborted_and_says_why(face: Face, queue: str) -> None:
    runs = create(face, queue, 3)
    [other] = create(face, fresh_name("queue"), 1)

    done = bulk_of(face, "abort", {"queue": queue}, reason="wrong batch")

    assert counts(done) == (3, 3, 0)
    assert not done["more"]
    assert {face.state(run)[0] for run in runs} == {"aborted"}
    assert face.state(other)[0] == "pending"
    assert face.events(runs[0])[-1]["detail"]["reason"] == "wrong batch"
    assert face.events(runs[0])[-1]["actor"] == Role.CLIENT.value


def test_a_dry_run_counts_and_changes_nothing(face: Face, queue: str) -> None:
    runs = create(face, queue, 3)

    told = bulk_of(face, "abort", {"queue": queue, "state": "pending"}, dryRun=True)

    assert counts(told) == (3, 0, 0)
    assert told["idempotencyKey"] is None
    assert {face.state(run)[0] for run in runs} == {"pending"}


def test_a_run_that_refuses_stops_none_of_the_others(face: Face, queue: str) -> None:
    first, second, third = create(face, queue, 3)
    assert face.succeed(face.hold(second))["status"] == "finished"

    done = bulk_of(face, "abort", {"queue": queue})

    assert counts(done) == (3, 2, 1)
    assert [face.state(run)[0] for run in (first, second, third)] == [
        "aborted",
        "finished",
        "aborted",
    ]


def test_what_is_as_asked_for_already_is_neither_changed_nor_refused(
    face: Face, queue: str
) -> None:
    [held, pending] = create(face, queue, 2)
    face.hold(held)
    face.abort(held)

    assert counts(bulk_of(face, "abort", {"queue": queue})) == (2, 1, 0)
    assert face.kinds(held).count("abort-requested") == 1
    assert face.state(pending)[0] == "aborted"


def test_failed_runs_are_retried_and_one_whose_dedup_key_is_taken_is_not(
    face: Face, queue: str
) -> None:
    failed = [face.dispatch("refund", queue=queue, maxFailures=1) for _ in range(2)]
    old = face.dispatch("refund", queue=queue, maxFailures=1, dedupKey="k")
    for dispatch in (*failed, old):
        face.fail(dispatch)
    live = face.create("refund", queue=queue, dedupKey="k")

    done = bulk_of(face, "retry", {"queue": queue, "state": "failed,aborted"})

    assert counts(done) == (3, 2, 1)
    assert {face.state(each["run"]["id"])[0] for each in failed} == {"pending"}
    assert face.state(old["run"]["id"])[0] == "failed"
    assert face.state(live["id"])[0] == "pending"


def test_a_repeat_by_key_gets_the_same_answer_and_touches_nothing(face: Face, queue: str) -> None:
    runs = create(face, queue, 3)
    assert face.succeed(face.hold(runs[0]))["status"] == "finished"
    key, wanted = str(uuid4()), {"queue": queue}
    first = bulk_of(face, "abort", wanted, key=key)
    face.retry(runs[1])
    [newer] = create(face, queue, 1)

    assert bulk_of(face, "abort", wanted, key=key) == first
    assert counts(first) == (3, 2, 1)
    assert first["idempotencyKey"] == key
    assert face.state(runs[1])[0] == "pending"
    assert face.state(newer)[0] == "pending"


def test_a_key_belongs_to_one_act_and_one_body(face: Face, queue: str) -> None:
    create(face, queue, 1)
    key, body = str(uuid4()), {"filter": {"queue": queue, "state": "failed,pending"}}
    headers = {"Idempotency-Key": key}
    face.ask(Role.CLIENT, "POST", "/v1/bulk/abort", body, headers)

    respelt = {"filter": {"state": "pending,failed", "queue": queue}}
    assert face.send(Role.CLIENT, "POST", "/v1/bulk/abort", respelt, headers).status_code == 200
    for path, other in (
        ("/v1/bulk/retry", body),
        ("/v1/bulk/abort", {"filter": {"queue": queue}}),
        ("/v1/bulk/abort", body | {"reason": "another"}),
    ):
        answer = face.send(Role.CLIENT, "POST", path, other, headers)
        assert problem(answer) == (422, "idempotency-key-reused")
    assert face.send(Role.OPERATOR, "POST", "/v1/bulk/abort", body, headers).status_code == 200


@pytest.mark.parametrize("empty", [{}, {"queue": None}, {"state": None, "workflow": None}])
def test_a_filter_that_narrows_nothing_is_refused(face: Face, empty: Json) -> None:
    [run] = create(face, fresh_name("queue"), 1)
    for body in ({"filter": empty}, {"filter": empty, "dryRun": True}):
        answer = face.send(Role.OPERATOR, "POST", "/v1/bulk/abort", body)

        assert problem(answer) == (422, "validation")
        assert answer.json["errors"][0]["path"] == "/filter"
    assert face.state(run)[0] == "pending"


def test_a_filter_narrows_by_workflow_executor_and_time(face: Face, queue: str) -> None:
    held = face.dispatch("refund", queue=queue)
    other = face.create("report", queue=queue)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for wanted, matched in (
        ({"queue": queue, "workflow": "report"}, 1),
        ({"queue": queue, "executor": held["run"]["lockedBy"]}, 1),
        ({"queue": queue, "createdAfter": later}, 0),
        ({"queue": queue, "state": "pending,loading"}, 2),
    ):
        assert bulk_of(face, "abort", wanted, dryRun=True)["matched"] == matched

    done = bulk_of(face, "abort", {"queue": queue, "executor": held["run"]["lockedBy"]})
    assert counts(done) == (1, 1, 0)
    assert face.state(other["id"])[0] == "pending"


def wish(face: Face, queue: str, *, key: str | None = None, patterns: Any = ("*",)) -> BulkWish:
    return BulkWish(
        BulkKey("ops", key or str(uuid4())),
        b"h",
        RunFilter(queue=queue),
        patterns,
        line(),
        None,
    )


def test_runs_of_queues_that_the_token_does_not_cover_are_not_matched(
    face: Face, queue: str
) -> None:
    [run] = create(face, queue, 1)
    other = wish(face, queue, patterns=("billing", "refunds.*"))

    done = bulk.act_on_all(face.services.database, other, acts.abort, stopping=NEVER)
    seen = bulk.count(face.services.database, other.wanted, other.queue_patterns)

    assert (done.matched, done.more, seen.matched) == (0, False, 0)
    assert face.state(run)[0] == "pending"


def test_a_request_whose_time_is_up_goes_on_where_it_stopped(face: Face, queue: str) -> None:
    runs = create(face, queue, 5)
    again = wish(face, queue)
    database, passed = face.services.database, 0

    def abort_two(*asked: Any, **named: Any) -> Any:
        nonlocal passed
        passed += 1
        if passed == 2:
            stopping.set()
        return acts.abort(*asked, **named)

    answers = []
    for _ in range(3):
        stopping, passed = threading.Event(), 0
        answers.append(bulk.act_on_all(database, again, abort_two, stopping=stopping))

    assert [(each.matched, each.changed, each.more) for each in answers] == [
        (2, 2, True),
        (4, 4, True),
        (5, 5, False),
    ]
    assert {face.state(run)[0] for run in runs} == {"aborted"}


def test_what_is_created_before_a_request_is_gone_on_with_is_no_part_of_it(
    face: Face, queue: str
) -> None:
    [run], again, database = create(face, queue, 1), wish(face, queue), face.services.database
    begun = bulk.act_on_all(database, again, acts.abort, stopping=NEVER, most_seconds=0)
    [newer] = create(face, queue, 1)

    done = bulk.act_on_all(database, again, acts.abort, stopping=NEVER)

    assert (begun.matched, begun.more) == (0, True)
    assert (done.matched, done.more) == (1, False)
    assert [face.state(each)[0] for each in (run, newer)] == ["aborted", "pending"]


def test_many_runs_are_passed_page_by_page(
    face: Face, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "STRETCH", 2)
    monkeypatch.setattr(bulk, "MOST_COUNTED", 3)
    create(face, queue, 5)

    counted = bulk_of(face, "abort", {"queue": queue}, dryRun=True)
    assert (counted["matched"], counted["more"]) == (3, True)
    assert counts(bulk_of(face, "abort", {"queue": queue})) == (5, 5, 0)


class Enough(threading.Event):
    """Is set once it has been asked so often."""

    def __init__(self, asked: int) -> None:
        super().__init__()
        self.left = asked

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("states", [(), ("aborted", "failed", "waiting"), ("pending", "failed")])
def test_few_among_many_are_found_though_every_request_sees_a_stretch_only(
    face: Face, queue: str, monkeypatch: pytest.MonkeyPatch, states: tuple[str, ...]
) -> None:
    monkeypatch.setattr(bulk, "STRETCH", 2)
    workflow = fresh_name("rare")
    rare = [face.create(workflow, queue=queue)["id"] for _ in range(2)]
    for run_id in create(face, queue, 10):
        if "aborted" in states:
            face.abort(run_id)
    if "aborted" in states:
        for run_id in rare:
            face.fail(face.hold(run_id), retryable=False)
    wanted = RunFilter(workflow=workflow, queue=queue, states=states)
    key = BulkKey("ops", str(uuid4()))
    again = BulkWish(key, b"h", wanted, ("*",), line(), None)
    act = acts.retry if "aborted" in states else acts.abort

    answers = []
    while not answers or answers[-1].more:
        answers.append(
            bulk.act_on_all(face.services.database, again, act, stopping=Enough(asked=2))
        )
        assert len(answers) < 20

    assert len(answers) > 4
    assert (answers[1].matched, answers[-1].matched, answers[-1].changed) == (0, 2, 2)


def test_a_bulk_act_lasts_longer_than_the_patience_of_other_requests(
    face: Face, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(face, queue, 2)
    again, database = wish(face, queue), face.services.database
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0)

    with patience.new_patience():
        monkeypatch.undo()
        counted = bulk.count(database, again.wanted, again.queue_patterns)
        done = bulk.act_on_all(database, again, acts.abort, stopping=NEVER)

    assert (counted.matched, done.changed, done.refused, done.more) == (2, 2, 0, False)


def test_a_copy_that_lags_behind_sets_nothing_back(face: Face) -> None:
    key, (low, high) = BulkKey("ops", str(uuid4())), (UUID(int=1), UUID(int=2))

    with face.services.database.work.begin() as connection:
        bulk_acts.begin(connection, key, body_hash=b"h", before=UUID(int=3))
        bulk_acts.skip(connection, key, through=low)
        bulk_acts.skip(connection, key, through=high)
        progress = bulk_acts.progress(connection, key)

    assert progress is not None
    assert progress.before == low


def test_a_dry_run_whose_time_is_up_has_counted_a_stretch(
    face: Face, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "STRETCH", 2)
    create(face, queue, 5)
    wanted, database = RunFilter(queue=queue), face.services.database

    some = bulk.count(database, wanted, ("*",), most_seconds=0)
    every = bulk.count(database, wanted, ("*",))

    assert (some.matched, some.more) == (2, True)
    assert (every.matched, every.more) == (5, False)


def test_a_request_that_died_between_two_runs_is_gone_on_with_exactly(
    face: Face, queue: str
) -> None:
    runs = create(face, queue, 4)
    again = wish(face, queue)

    def abort_until_killed(database: Any, act: Any, *asked: Any, **named: Any) -> Any:
        if act.run_id == UUID(runs[1]):
            raise KeyboardInterrupt
        return acts.abort(database, act, *asked, **named)

    with pytest.raises(KeyboardInterrupt):
        bulk.act_on_all(face.services.database, again, abort_until_killed, stopping=NEVER)
    done = bulk.act_on_all(face.services.database, again, acts.abort, stopping=NEVER)

    assert (done.matched, done.changed, done.refused) == (4, 4, 0)
    assert [face.kinds(run).count("aborted") for run in runs] == [1, 1, 1, 1]


def test_two_copies_at_once_do_it_once_and_both_are_told_the_same(face: Face, queue: str) -> None:
    runs = create(face, queue, 30)
    assert face.succeed(face.hold(runs[7]))["status"] == "finished"
    together, key = threading.Barrier(2), str(uuid4())

    def ask(_: int) -> Json:
        together.wait(10)
        return bulk_of(face, "abort", {"queue": queue}, key=key)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(ask, range(2))

    assert first == second
    assert counts(first) == (30, 29, 1)
    assert {face.kinds(run).count("aborted") for run in runs} == {0, 1}


def test_a_step_past_a_run_is_undone_with_its_act(face: Face, queue: str) -> None:
    """What is counted and what is done are one transaction."""
    [run] = create(face, queue, 1)
    again = wish(face, queue)

    def abort_and_fail(database: Any, act: Any, patterns: Any, *, beside: Any) -> Any:
        def beside_and_fail(connection: Any, changed: bool) -> None:
            beside(connection, changed)
            raise KeyboardInterrupt

        return acts.abort(database, act, patterns, beside=beside_and_fail)

    with pytest.raises(KeyboardInterrupt):
        bulk.act_on_all(face.services.database, again, abort_and_fail, stopping=NEVER)
    assert face.state(run)[0] == "pending"

    done = bulk.act_on_all(face.services.database, again, acts.abort, stopping=NEVER)
    assert (done.matched, done.changed) == (1, 1)


def test_what_was_begun_over_a_week_ago_is_forgotten(face: Face, queue: str) -> None:
    create(face, queue, 1)
    for key, days in (("old", 8), ("new", 6)):
        bulk_of(face, "abort", {"queue": queue}, key=key)
        face.sql(
            'UPDATE "bulkActs" SET at = clock_timestamp() - make_interval(days => %s)'
            ' WHERE "idempotencyKey" = %s',
            days,
            key,
        )
    face.sql("UPDATE keeper SET \"lastTickAt\" = clock_timestamp() - interval '1 s'")
    face.sql('UPDATE keeper SET "prunedAt" = NULL, "amnestySince" = NULL')
    face.services.keeper.tick()

    kept = face.sql('SELECT "idempotencyKey" AS key FROM "bulkActs"')
    assert "old" not in {row["key"] for row in kept}
    assert "new" in {row["key"] for row in kept}

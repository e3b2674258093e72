"""Who did what: one line for each act that changed something, for those who may see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, event
from uuid_utils.compat import uuid7

from orchestrator.lifecycle import ActKind, Role
from orchestrator.store import operator_acts
from orchestrator.store.operator_acts import OperatorAct
from orchestrator.store.transaction import transact
from tests.acceptance.stage import make_token
from tests.database import Database
from tests.integration.charges import unknown
from tests.integration.face import Face, Json, fresh_name, step
from tests.integration.racing import at_once
from tests.integration.test_every_request_repeats import CASES, Request

# Every route that changes something, but for creates and what executors do.
KINDS = {
    ("POST", "/v1/runs/{run_id}/resume"): ActKind.RESUME_RUN,
    ("POST", "/v1/runs/{run_id}/abort"): ActKind.ABORT_RUN,
    ("POST", "/v1/runs/{run_id}/retry"): ActKind.RETRY_RUN,
    ("POST", "/v1/runs/{run_id}/resolve"): ActKind.RESOLVE_RUN,
    ("POST", "/v1/bulk/abort"): ActKind.ABORT_RUNS,
    ("POST", "/v1/bulk/retry"): ActKind.RETRY_RUNS,
    ("POST", "/v1/executors/{name}/drain"): ActKind.DRAIN_EXECUTOR,
    ("POST", "/v1/executors/{name}/quarantine"): ActKind.QUARANTINE_EXECUTOR,
    ("POST", "/v1/executors/{name}/resume"): ActKind.RESUME_EXECUTOR,
    ("PUT", "/v1/queues/{name}"): ActKind.LIMIT_QUEUE,
    ("POST", "/v1/queues/{name}/pause"): ActKind.PAUSE_QUEUE,
    ("POST", "/v1/queues/{name}/resume"): ActKind.RESUME_QUEUE,
    ("PUT", "/v1/workflows/{name}"): ActKind.PUT_WORKFLOW,
    ("PUT", "/v1/schedules/{name}"): ActKind.PUT_SCHEDULE,
    ("DELETE", "/v1/schedules/{name}"): ActKind.DELETE_SCHEDULE,
    ("POST", "/v1/schedules/{name}/run-now"): ActKind.RUN_SCHEDULE,
}
KEYED = [
    route for route in KINDS if "/runs/" in route[1] or "bulk" in route[1] or "now" in route[1]
]
COMMAND_LINE = {ActKind.CREATE_TOKEN, ActKind.REVOKE_TOKENS, ActKind.REVOKE_LEASES}


def acts(face: Face, **query: str) -> list[Json]:
    """What is noted, the newest first."""
    asked = "&".join(f"{name}={value}" for name, value in {"limit": "500", **query}.items())
    items: list[Json] = face.ask(Role.VIEWER, "GET", f"/v1/audit?{asked}")["items"]
    return items


def done(face: Face, request: Request, method: str, key: str | None = None, **more: str) -> Any:
    headers = {**more, **({"Idempotency-Key": key} if key else {})}
    return face.send(request.role, method, request.path, request.body, headers)


def noted_by(face: Face, change: Callable[[], Any]) -> list[Json]:
    """The lines that a change adds."""
    before = {line["id"] for line in acts(face)}
    change()
    return [line for line in acts(face) if line["id"] not in before]


def test_every_kind_of_act_has_its_route_or_its_command() -> None:
    assert {*KINDS.values(), *COMMAND_LINE} == set(ActKind)


@pytest.mark.parametrize("route", KINDS)
def test_an_act_is_noted_with_who_by_which_token_in_which_request(
    face: Face, route: tuple[str, str]
) -> None:
    request = CASES[route](face)
    key_id = face.tokens[request.role].split("_")[1]

    [line] = noted_by(face, lambda: done(face, request, route[0], **{"X-Request-Id": "r-1"}))

    who = (line["actor"], line["keyId"], line["requestId"])
    assert who == (request.role.value, key_id, "r-1")
    assert line["kind"] == KINDS[route]
    assert line["subject"]


@pytest.mark.parametrize("route", sorted(CASES.keys() - KINDS.keys()))
def test_creates_and_what_executors_do_are_not(face: Face, route: tuple[str, str]) -> None:
    request = CASES[route](face)

    assert noted_by(face, lambda: done(face, request, route[0])) == []


@pytest.mark.parametrize("route", KEYED)
def test_a_repeat_by_key_is_not_noted_again(face: Face, route: tuple[str, str]) -> None:
    request, key = CASES[route](face), fresh_name("key")

    def ask() -> None:
        assert done(face, request, route[0], key).status_code == 200

    assert len(noted_by(face, ask)) == 1
    assert noted_by(face, ask) == []
    assert noted_by(face, lambda: at_once(*[ask] * 4)) == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/runs/{run}/retry", {}),
        ("POST", "/v1/runs/{run}/resume", {"input": 1}),
        ("POST", "/v1/runs/{run}/resolve", {"as": "abort"}),
        ("POST", "/v1/runs/01890000-0000-7000-8000-000000000000/abort", {}),
        ("POST", "/v1/bulk/abort", {"filter": {"queue": "x"}, "dryRun": True}),
        ("POST", "/v1/executors/nobody/drain", {}),
        ("PUT", "/v1/queues/x", {"maxConcurrency": 0}),
        ("PUT", "/v1/workflows/x", {"steps": []}),
        ("PUT", "/v1/schedules/x", {"workflow": "x", "cron": "never", "queue": "x"}),
        ("DELETE", "/v1/schedules/nothing", None),
        ("POST", "/v1/schedules/nothing/run-now", {}),
    ],
)
def test_what_was_refused_or_changed_nothing_is_not_noted(
    face: Face, method: str, path: str, body: Json | None
) -> None:
    run_id = face.create("refund")["id"]

    lines = noted_by(
        face, lambda: face.send(Role.OPERATOR, method, path.replace("{run}", run_id), body)
    )

    assert lines == []


def test_an_abort_that_was_requested_before_is_noted_once(face: Face) -> None:
    run_id = face.dispatch("refund")["run"]["id"]

    assert len(noted_by(face, lambda: [face.abort(run_id) for _ in range(2)])) == 1


@contextmanager
def unanswered_commit(face: Face) -> Iterator[list[int]]:
    """The next COMMIT takes effect, and its connection dies before it is answered."""
    cut: list[int] = []

    def commit(connection: Connection) -> None:
        link: Any = connection.connection.dbapi_connection
        if not cut:
            cut.append(link.info.backend_pid)
            link.commit()
            link.close()

    engine = face.services.database.work
    event.listen(engine, "commit", commit)
    try:
        yield cut
    finally:
        event.remove(engine, "commit", commit)


@pytest.mark.parametrize("route", KINDS)
def test_an_act_whose_commit_was_not_answered_is_noted_once(
    face: Face, route: tuple[str, str]
) -> None:
    request = CASES[route](face)
    # An act on one run by no key is known again by its request.
    name = {"X-Request-Id": fresh_name("request")}

    def ask() -> None:
        with unanswered_commit(face) as cut:
            assert done(face, request, route[0], **name).status_code in (200, 204)
            assert cut

    assert len(noted_by(face, ask)) == 1


def test_one_act_is_one_line_however_often_it_is_written(face: Face) -> None:
    line = OperatorAct(uuid7(), "ops", ActKind.PAUSE_QUEUE, "default")

    def write() -> None:
        for _ in range(2):
            transact(
                face.services.database.work,
                lambda connection: operator_acts.note(connection, line),
            )

    assert len(noted_by(face, write)) == 1


def test_what_was_asked_for_is_noted_and_payloads_are_not(face: Face, charge: str) -> None:
    queue, name = fresh_name("queue"), fresh_name("schedule")
    secret = {"secret": "in a payload"}
    waiting = face.waiting("refund")["run"]["id"]
    parked = unknown(face, charge)["run"]["id"]

    def act() -> None:
        aborted = face.create("refund", queue=queue)["id"]
        abort = {"reason": "no"}
        face.ask(Role.CLIENT, "POST", f"/v1/runs/{aborted}/abort", abort)
        face.resume(waiting, secret)
        face.resolve(parked, "done", output=secret)
        face.limit(queue, maxConcurrency=3)
        face.schedule(name, input=secret)
        wanted = {"filter": {"queue": queue, "state": "failed,aborted"}, "reason": "over"}
        face.ask(Role.CLIENT, "POST", "/v1/bulk/abort", wanted, {"Idempotency-Key": "bulk-1"})
        face.send(Role.OPERATOR, "DELETE", f"/v1/schedules/{name}")

    lines = {line["kind"]: line for line in noted_by(face, act)}

    assert lines["abort-run"]["detail"] == {"reason": "no"}
    assert lines["abort-run"]["queue"] == queue
    assert (lines["resume-run"]["subject"], lines["resume-run"]["detail"]) == (waiting, {})
    assert lines["resolve-run"]["detail"] == {"as": "done"}
    assert lines["limit-queue"]["detail"] == {"maxConcurrency": 3}
    assert lines["put-schedule"]["subject"] == name
    assert lines["put-schedule"]["detail"] == {
        "workflow": "nightly-report",
        "cron": "0 2 * * *",
        "timeZone": "UTC",
        "overlap": "skip",
        "paused": False,
    }
    assert lines["abort-runs"]["subject"] == "bulk-1"
    assert lines["abort-runs"]["detail"] == {
        "filter": {"queue": queue, "state": ["aborted", "failed"]},
        "reason": "over",
    }
    assert lines["delete-schedule"]["queue"] == f"of-{name}"
    assert "in a payload" not in str(lines)


def test_a_bulk_act_is_one_line_and_every_run_s_event_names_the_token(face: Face) -> None:
    queue = fresh_name("queue")
    run_ids = [face.create("refund", queue=queue)["id"] for _ in range(3)]
    wanted = {"filter": {"queue": queue}}

    lines = noted_by(face, lambda: face.ask(Role.CLIENT, "POST", "/v1/bulk/abort", wanted))

    assert [line["kind"] for line in lines] == ["abort-runs"]
    for run_id in run_ids:
        last = face.events(run_id)[-1]
        assert (last["actor"], last["requestId"]) == ("client", lines[0]["requestId"])
        assert last["detail"]["keyId"] == lines[0]["keyId"]


@pytest.mark.parametrize("route", [route for route in KINDS if "{run_id}" in route[1]])
def test_the_run_s_own_event_names_actor_key_and_request(
    face: Face, route: tuple[str, str]
) -> None:
    request = CASES[route](face)

    [line] = noted_by(face, lambda: done(face, request, route[0]))

    last = face.events(line["subject"])[-1]
    assert last["detail"]["keyId"] == line["keyId"] == face.tokens[request.role].split("_")[1]
    assert (last["actor"], last["requestId"]) == (line["actor"], line["requestId"])


def test_a_schedule_that_is_run_now_names_who_ran_it(face: Face) -> None:
    name = fresh_name("schedule")
    face.schedule(name)
    path = f"/v1/schedules/{name}/run-now"
    made = face.ask(Role.OPERATOR, "POST", path, {}, {"X-Request-Id": "pressed"})["runId"]
    # The last one lives still: nothing is created, nothing is noted.
    assert face.ask(Role.OPERATOR, "POST", path, {})["runId"] is None

    lines = [line for line in acts(face, kind="run-schedule") if line["subject"] == name]
    [created] = face.events(made)
    assert [line["detail"] for line in lines] == [{"runId": made}]
    assert (created["actor"], created["requestId"]) == ("operator", "pressed")
    assert created["detail"] == {"keyId": lines[0]["keyId"]}
    assert face.run(made)["createdBy"] == f"schedule:{name}"


@pytest.fixture(scope="module")
def narrow(face: Face, module_database: Database) -> Callable[..., Json]:
    """A viewer's list, whose token is for these queues only."""

    def listed(*patterns: str, **query: str) -> Json:
        token = make_token(module_database, fresh_name("viewer"), Role.VIEWER, patterns)
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        headers = {"Authorization": f"Bearer {token}"}
        return face.ask(Role.VIEWER, "GET", f"/v1/audit?{asked}", headers=headers)

    return listed


def test_a_token_sees_acts_on_its_queues_only(face: Face, narrow: Callable[..., Json]) -> None:
    exact, prefix = fresh_name("mine"), fresh_name("team")
    for queue in (exact, f"{prefix}.a", f"{prefix}s", f"{exact}.a", fresh_name("other")):
        face.pause(queue)
    # It concerns no queue.
    face.define(step("a"))

    seen = narrow(exact, f"{prefix}.*")["items"]

    assert [line["subject"] for line in seen] == [f"{prefix}.a", exact]


def test_an_executor_s_acts_are_of_its_queue_when_it_serves_one(
    face: Face, narrow: Callable[..., Json]
) -> None:
    mine, other = fresh_name("mine"), fresh_name("other")
    name = f"{Role.EXECUTOR.value}:one"
    face.sql("DELETE FROM executors")
    face.register(queues=[mine])
    face.ask(Role.OPERATOR, "POST", f"/v1/executors/{name}/drain", {"reason": "old"})
    face.register(queues=[mine, other])
    face.ask(Role.OPERATOR, "POST", f"/v1/executors/{name}/resume", {})

    assert [line["kind"] for line in narrow(mine)["items"]] == ["drain-executor"]
    assert [line["kind"] for line in acts(face)[:2]] == ["resume-executor", "drain-executor"]


def test_pages_go_on_where_the_one_before_ended_and_filters_narrow(
    face: Face, narrow: Callable[..., Json]
) -> None:
    queue = fresh_name("queue")
    for _ in range(3):
        face.pause(queue)
        face.pause(queue, paused=False)
    viewer = "/v1/audit?actor=operator&kind=pause-queue&limit=2"
    first = face.ask(Role.VIEWER, "GET", viewer)
    second = face.ask(Role.VIEWER, "GET", f"{viewer}&cursor={first['nextCursor']}")

    ids = [line["id"] for line in first["items"] + second["items"]]
    assert len(ids) == 4
    assert ids == sorted(set(ids), reverse=True)
    assert {line["kind"] for line in first["items"]} == {"pause-queue"}
    assert acts(face, actor="nobody") == []
    assert len(acts(face, subject=queue)) == 6
    assert acts(face, subject="nothing") == []
    for elsewhere in ("/v1/audit?limit=2", "/v1/runs?limit=2"):
        refused = face.send(Role.VIEWER, "GET", f"{elsewhere}&cursor={first['nextCursor']}")
        assert refused.status_code == 422
    assert face.send(Role.VIEWER, "GET", "/v1/audit?kind=none").status_code == 422


def test_old_acts_are_pruned_and_what_is_younger_than_a_day_never(
    database: Database, owner: psycopg.Connection
) -> None:
    for days in (40, 2, 0):
        owner.execute(
            'INSERT INTO "operatorActs" (id, at, actor, kind, subject, detail) VALUES'
            " (gen_random_uuid(), now() - make_interval(days => %s), 'ops', 'pause-queue',"
            " %s, '{}')",
            [days, f"{days} days"],
        )

    with closing(psycopg.connect(database.service_url, autocommit=True)) as service:
        pruned = [
            service.execute("SELECT dibs_prune_acts(%s, 10)", [before]).fetchone()
            for before in (datetime.now(UTC) - timedelta(days=30), datetime.now(UTC))
        ]

    assert pruned == [(1,), (1,)]
    assert owner.execute('SELECT subject FROM "operatorActs"').fetchall() == [("0 days",)]

"""Which run goes first, and which is not made at all."""

from __future__ import annotations

from functools import partial

import orjson
import pytest

from orchestrator.lifecycle import Role
from tests.integration.face import Face, Json, fresh_name, problem, step
from tests.integration.racing import at_once


def claimed(face: Face, queue: str) -> list[str]:
    """Everything that is pending there, in the order of claims."""
    return [dispatch["run"]["id"] for dispatch in face.claim(queue, limit=100)]


def test_a_higher_priority_goes_first_and_equals_go_by_age(face: Face) -> None:
    queue = fresh_name("queue")
    runs = {
        (priority, n): face.create("plain", queue=queue, priority=priority)["id"]
        for n in range(2)
        for priority in (0, -5, 100, 5, -100)
    }

    assert claimed(face, queue) == [
        runs[priority, n] for priority in (100, 5, 0, -5, -100) for n in range(2)
    ]


def test_a_low_priority_is_overtaken_for_a_minute_a_step_and_no_longer(face: Face) -> None:
    queue = fresh_name("queue")
    low = face.create("plain", queue=queue, priority=-1)["id"]
    face.sql(
        'UPDATE "workflowRuns" SET "claimKey" = "claimKey" - interval \'61 s\' WHERE id = %s', low
    )
    plain = face.create("plain", queue=queue)["id"]

    assert claimed(face, queue) == [low, plain]


def test_a_run_that_becomes_due_goes_by_its_due_time(face: Face) -> None:
    queue = fresh_name("queue")
    early = face.create("plain", queue=queue, availableAt="2999-01-01T00:00:00Z")["id"]
    plain = face.create("plain", queue=queue)["id"]
    face.sql(
        'UPDATE "workflowRuns" SET "availableAt" = now() - interval \'1 hour\' WHERE id = %s', early
    )
    face.tick()

    assert claimed(face, queue) == [early, plain]


def test_a_step_that_waits_for_a_claim_goes_behind_what_waits_already(face: Face) -> None:
    queue, workflow = fresh_name("queue"), face.define(step("a", "b"), step("b"))
    first = face.dispatch(workflow, queue=queue)
    plain = face.create("plain", queue=queue)["id"]
    urgent = face.dispatch(workflow, queue=queue, priority=10)

    for dispatch in (first, urgent):
        face.succeed(dispatch, chain=False)

    assert claimed(face, queue) == [urgent["run"]["id"], plain, first["run"]["id"]]


def test_a_dedup_key_stands_for_one_live_run_over_all_its_steps(face: Face) -> None:
    queue, workflow = fresh_name("queue"), face.define(step("a", "b"), step("b"))
    body = {"workflow": workflow, "queue": queue, "dedupKey": "order 7"}
    run_id = face.ask(Role.CLIENT, "POST", "/v1/runs", body)["id"]

    def refused() -> bool:
        answer = face.send(Role.CLIENT, "POST", "/v1/runs", body)
        found = face.send(Role.CLIENT, "POST", "/v1/runs", {**body, "onConflict": "return"})
        if answer.status_code == 201:
            return False
        assert problem(answer) == (409, "run-already-active")
        assert orjson.loads(answer.data)["runId"] == run_id
        assert (found.status_code, orjson.loads(found.data)["id"]) == (200, run_id)
        return True

    pending = refused()
    dispatch = face.hold(run_id)
    loading = refused()
    following = face.succeed(dispatch)["next"]
    started = refused()
    face.await_input(following)
    waiting = refused()
    again = face.hold(run_id, input=1)
    face.fail(again)
    scheduled = refused()
    face.let_time_pass(run_id)
    face.succeed(face.hold(run_id))

    assert [pending, loading, started, waiting, scheduled] == [True] * 5
    assert not refused()


@pytest.mark.parametrize("part", ["queue", "workflow", "dedupKey"])
def test_another_queue_workflow_or_key_is_another_run(face: Face, part: str) -> None:
    body = {"workflow": "plain", "queue": fresh_name("queue"), "dedupKey": "k"}
    first = face.ask(Role.CLIENT, "POST", "/v1/runs", body)["id"]

    other = face.ask(Role.CLIENT, "POST", "/v1/runs", body | {part: fresh_name("another")})["id"]

    assert first != other


def test_a_run_without_a_key_is_always_another_one(face: Face) -> None:
    queue = fresh_name("queue")

    assert len({face.create("plain", queue=queue)["id"] for _ in range(3)}) == 3


def test_a_retry_of_a_run_whose_key_another_one_has_by_now_is_refused(face: Face) -> None:
    body = {"workflow": "plain", "queue": fresh_name("queue"), "dedupKey": "k"}
    first = face.ask(Role.CLIENT, "POST", "/v1/runs", body)["id"]
    face.abort(first)
    second = face.ask(Role.CLIENT, "POST", "/v1/runs", body)["id"]

    answer = face.send(Role.CLIENT, "POST", f"/v1/runs/{first}/retry", {})

    assert problem(answer) == (409, "run-already-active")
    assert orjson.loads(answer.data)["runId"] == second
    assert face.state(first)[0] == "aborted"


@pytest.mark.parametrize("on_conflict", ["refuse", "return"])
def test_of_16_creates_of_one_key_at_once_one_makes_the_run(face: Face, on_conflict: str) -> None:
    for _ in range(5):
        body: Json = {
            "workflow": "plain",
            "queue": fresh_name("queue"),
            "dedupKey": "k",
            "onConflict": on_conflict,
        }

        answers = at_once(
            *[partial(face.send, Role.CLIENT, "POST", "/v1/runs", body) for _ in range(16)]
        )

        statuses = [answer.status_code for answer in answers]
        assert statuses.count(201) == 1
        assert set(statuses) == {201, 409 if on_conflict == "refuse" else 200}
        bodies = [orjson.loads(answer.data) for answer in answers]
        assert len({each.get("runId") or each["id"] for each in bodies}) == 1

"""Runs with a concurrencyKey that have several steps, or lose their holder: by HTTP."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.integration.face import Face, fresh_name, step

Json = dict[str, Any]


def keyed(face: Face, workflow: str, queue: str) -> str:
    run_id: str = face.create(workflow, queue=queue, concurrencyKey="customer-7")["id"]
    return run_id


def claimed(face: Face, queue: str) -> list[str]:
    return [each["run"]["id"] for each in face.claim(queue, limit=10)]


def test_a_next_step_in_another_queue_waits_for_its_turn(face: Face) -> None:
    queue, other = fresh_name("queue"), fresh_name("queue")
    workflow = face.define(step("a", "b"), step("b", queue=other))
    first, second = keyed(face, workflow, queue), keyed(face, workflow, queue)
    (held,) = face.claim(queue, limit=10)

    assert face.succeed(held)["status"] == "pending"

    # It gave its place up to the run that had waited for longer.
    assert held["run"]["id"] == first
    assert claimed(face, other) == []
    (then,) = face.claim(queue, limit=10)
    assert then["run"]["id"] == second
    face.succeed(then)
    assert claimed(face, other) == [first]


def test_a_next_step_under_the_same_lease_keeps_the_place(face: Face) -> None:
    queue = fresh_name("queue")
    workflow = face.define(step("a", "b"), step("b"))
    _, second = keyed(face, workflow, queue), keyed(face, workflow, queue)
    (held,) = face.claim(queue, limit=10)

    told = face.succeed(held)

    assert told["status"] == "continue"
    assert claimed(face, queue) == []
    face.succeed(told["next"])
    assert claimed(face, queue) == [second]


def test_a_wait_that_times_out_goes_on_when_it_is_its_turn(face: Face) -> None:
    queue = fresh_name("queue")
    workflow = face.define(step("a", "b"), step("b"))
    run_id = keyed(face, workflow, queue)
    (held,) = face.claim(queue)
    face.await_input(held, timeoutSeconds=60, onTimeout={"next": "b"})
    keyed(face, workflow, queue)
    (then,) = face.claim(queue)

    face.let_time_pass(run_id)

    assert claimed(face, queue) == []
    face.fail(then, retryable=False)
    assert claimed(face, queue) == [run_id]


def test_a_replaced_process_lets_the_next_one_in(face: Face) -> None:
    queue = fresh_name("queue")
    _, second = keyed(face, "refund", queue), keyed(face, "refund", queue)
    lost = str(uuid4())
    face.claim(queue, limit=10, session=lost, executor="one")

    face.register(replaces="others")

    assert claimed(face, queue) == [second]

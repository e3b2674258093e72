"""Odd histories that are right: the audit finds nothing wrong with any of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.store import endings
from orchestrator.store.transaction import transact
from tests.integration.charges import abort_and_expiry
from tests.integration.face import Face, Json, step
from tests.ledger import check_ledgers

Play = Callable[[Face, str], str]

KEY = {"Idempotency-Key": "k"}


@pytest.fixture(scope="module")
def order(face: Face) -> str:
    """A workflow with everything: a choice, a wait, mutating steps, a way back."""
    return face.define(
        step("reserve", "approve", mutating=True),
        step("approve", "pay", "refuse", waits=True),
        step("pay", "ship", "reserve", mutating=True),
        step("ship", queue="shipping", mutating=True),
        step("refuse"),
    )


def revoke(face: Face) -> None:
    """End every lease, as after a restore."""
    database = face.services.database.leases
    transact(database, lambda connection: endings.revoke(connection, after=None, limit=500))


def reserved(face: Face, workflow: str) -> Json:
    """A new run whose first step is done; its holder goes on to the second."""
    following = face.succeed(face.begun(workflow, maxCrashes=9))["next"]
    assert following["step"]["name"] == "approve"
    return following


def at_pay(face: Face, workflow: str) -> Json:
    """A new run that has been approved, its third step begun."""
    following = face.succeed(reserved(face, workflow), next="pay")["next"]
    assert face.start(following).status_code == 200
    return following


def chained_to_the_end(face: Face, workflow: str) -> str:
    again = face.succeed(at_pay(face, workflow), next="reserve")["next"]
    assert face.start(again).status_code == 200
    pay = face.succeed(face.succeed(again)["next"], next="pay")["next"]
    assert face.succeed(pay, next="ship", chain=False)["status"] == "pending"
    (ship,) = face.claim("shipping")
    assert face.succeed(ship)["status"] == "finished"
    return ship["run"]["id"]


def timed_out_into_a_branch(face: Face, workflow: str) -> str:
    waiting = reserved(face, workflow)
    run_id = waiting["run"]["id"]
    face.await_input(waiting, timeoutSeconds=60, onTimeout={"next": "refuse"})
    face.let_time_pass(run_id)
    face.release(face.hold(run_id), reason="draining")
    assert face.succeed(face.hold(run_id))["status"] == "finished"
    return run_id


def timed_out_retried_and_resumed(face: Face, workflow: str) -> str:
    waiting = reserved(face, workflow)
    run_id = waiting["run"]["id"]
    face.await_input(waiting, timeoutSeconds=60)
    face.let_time_pass(run_id)
    face.retry(run_id)
    face.await_input(face.hold(run_id))
    assert face.resume(run_id, {}, KEY).status_code == 200
    assert face.resume(run_id, {}, KEY).status_code == 200
    face.await_input(face.hold(run_id))
    assert face.succeed(face.hold(run_id, input={}), next="refuse")["status"] == "continue"
    return run_id


def resolved_as_done_with_a_branch(face: Face, workflow: str) -> str:
    pay = at_pay(face, workflow)
    run_id = pay["run"]["id"]
    face.expire(run_id)
    assert face.resolve(run_id, "done", output={"paid": 1}, next="reserve").status_code == 200
    again = face.hold(run_id)
    assert face.start(again).status_code == 200
    face.tell((again, {"status": "unknown", "message": "it hung up"}))
    assert face.resolve(run_id, "run-again").status_code == 200
    assert face.succeed(face.hold(run_id))["next"]["step"]["index"] == 5
    return run_id


def resolved_as_done_while_an_abort_waited(face: Face, workflow: str) -> str:
    pay = at_pay(face, workflow)
    run_id = pay["run"]["id"]
    abort_and_expiry(face, pay)
    assert face.resolve(run_id, "done", output=1, next="ship").status_code == 200
    assert face.state(run_id) == ("aborted", "ship")
    face.retry(run_id)
    (ship,) = face.claim("shipping")
    assert face.fail(ship, retryable=False)["status"] == "failed"
    face.retry(run_id)
    (ship,) = face.claim("shipping")
    assert face.succeed(ship)["status"] == "finished"
    return run_id


def resolved_as_given_up_and_retried(face: Face, workflow: str) -> str:
    pay = at_pay(face, workflow)
    run_id = pay["run"]["id"]
    face.abort(run_id)
    face.tell((pay, {"status": "unknown", "message": "it hung up"}))
    assert face.resolve(run_id, "abort").status_code == 200
    face.retry(run_id)
    assert face.hold(run_id)["step"]["index"] == 3
    return run_id


def revoked(face: Face, workflow: str) -> str:
    begun = at_pay(face, workflow)
    run_id = begun["run"]["id"]
    revoke(face)
    assert face.run(run_id)["waitingFor"]["reason"] == "outcome-unknown"
    assert face.resolve(run_id, "run-again").status_code == 200
    face.hold(run_id)
    revoke(face)
    face.hold(run_id)
    face.abort(run_id)
    revoke(face)
    assert face.state(run_id) == ("aborted", "pay")
    face.retry(run_id)
    return run_id


@pytest.mark.parametrize(
    "play",
    [
        chained_to_the_end,
        timed_out_into_a_branch,
        timed_out_retried_and_resumed,
        resolved_as_done_with_a_branch,
        resolved_as_done_while_an_abort_waited,
        resolved_as_given_up_and_retried,
        revoked,
    ],
)
def test_what_is_odd_but_right_is_green(face: Face, order: str, play: Play) -> None:
    run_id = play(face, order)

    assert check_ledgers(face.owner).runs > 0
    assert face.kinds(run_id)[0] == "created"

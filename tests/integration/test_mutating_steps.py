"""Mutating steps: once begun, never run again by themselves; only resolve moves them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from orchestrator.lifecycle import Role
from orchestrator.store import endings
from orchestrator.store.transaction import transact
from tests.integration.charges import abort_and_expiry
from tests.integration.face import Face, Json, problem
from tests.integration.racing import both_at_once

Ending = Callable[[Face, Json], None]


def expiry(face: Face, dispatch: Json) -> None:
    face.expire(dispatch["run"]["id"])


def release(face: Face, dispatch: Json) -> None:
    face.release(dispatch)


def unwanted_release(face: Face, dispatch: Json) -> None:
    face.release(dispatch, reason="out of memory")


def abort_and_release(face: Face, dispatch: Json) -> None:
    face.abort(dispatch["run"]["id"])
    face.release(dispatch)


def abort_and_error(face: Face, dispatch: Json) -> None:
    """Cancelled in the middle: the handler says what it knows, and that is nothing."""
    face.abort(dispatch["run"]["id"])
    face.tell((dispatch, {"status": "unknown", "message": "cancelled"}))


def orphan(face: Face, dispatch: Json) -> None:
    """A heartbeat that does not name the lease."""
    face.sql('UPDATE keeper SET "lastTickAt" = clock_timestamp(), "amnestySince" = NULL')
    body = {
        "session": face.session,
        "leases": [],
        "claiming": [],
        "asOf": face.ask(Role.EXECUTOR, "POST", "/v1/leases/renew", no_leases(face))["serverTime"],
    }
    face.ask(Role.EXECUTOR, "POST", "/v1/leases/renew", body)


def no_leases(face: Face) -> Json:
    return {"session": face.session, "leases": [], "claiming": [], "asOf": None}


def replacement(face: Face, dispatch: Json) -> None:
    """The executor was started anew, and says that no other process of its name lives."""
    face.register("00000000-0000-4000-8000-00000000000f", replaces="others")


WAYS: dict[str, tuple[Ending, str]] = {
    "expiry": (expiry, "pending"),
    "release": (release, "pending"),
    "unwanted release": (unwanted_release, "scheduled"),
    "abort and expiry": (abort_and_expiry, "aborted"),
    "abort and release": (abort_and_release, "aborted"),
    "orphan": (orphan, "pending"),
    "replacement": (replacement, "pending"),
}


@pytest.mark.parametrize("way", WAYS)
def test_before_the_mark_a_lease_ends_as_any_other(face: Face, charge: str, way: str) -> None:
    end, state = WAYS[way]
    dispatch = face.hold(face.create(charge)["id"], executor="one")
    end(face, dispatch)

    run = face.run(dispatch["run"]["id"])
    assert dispatch["step"]["mutating"] is True
    assert (run["runState"], run["stepIndex"]) == (state, 0)


@pytest.mark.parametrize("way", [*sorted(set(WAYS) - {"orphan"}), "abort and cancellation"])
def test_after_the_mark_however_the_lease_ends_the_run_is_parked(
    face: Face, charge: str, way: str
) -> None:
    end = abort_and_error if way == "abort and cancellation" else WAYS[way][0]
    begun = face.hold(face.create(charge)["id"], executor="one")
    face.start(begun)
    end(face, begun)

    run_id = begun["run"]["id"]
    run = face.run(run_id)
    assert run["runState"] == "waiting"
    assert run["waitingFor"]["reason"] == "outcome-unknown"
    assert (run["mutatingSince"], run["lockedBy"]) == (None, None)
    assert bool(run["abortRequestedAt"]) == ("abort" in way)
    assert [s["state"] for s in face.steps(run_id)] == ["unknown"]


def test_a_begun_step_is_no_orphan(face: Face, charge: str) -> None:
    """The mark has confirmed the lease."""
    begun = face.begun(charge)
    orphan(face, begun)

    assert face.row(begun["run"]["id"])["leaseId"] is not None


@pytest.mark.parametrize(
    ("begun", "retryable", "status"),
    [
        (True, None, "failed"),
        (True, False, "failed"),
        (True, True, "scheduled"),
        # The definition says so, whether or not its mark was written.
        (False, None, "failed"),
        (False, True, "scheduled"),
    ],
)
def test_an_error_is_tried_again_only_when_the_handler_says_that_nothing_happened(
    face: Face, charge: str, begun: bool, retryable: bool | None, status: str
) -> None:
    dispatch = face.dispatch(charge)
    if begun:
        face.start(dispatch)
    said = {} if retryable is None else {"retryable": retryable}

    assert face.fail(dispatch, **said)["status"] == status
    if status == "failed":
        assert face.run(dispatch["run"]["id"])["error"]["code"] == "step-failed"


def test_a_step_that_is_tried_again_keeps_its_key_and_is_marked_anew(
    face: Face, charge: str
) -> None:
    begun = face.begun(charge)
    run_id = begun["run"]["id"]
    face.fail(begun, retryable=True)
    face.let_time_pass(run_id)
    again = face.hold(run_id)
    unmarked = again["run"]["mutatingSince"]
    face.start(again)
    face.expire(run_id)

    assert again["step"]["idempotencyKey"] == begun["step"]["idempotencyKey"]
    assert unmarked is None
    assert face.state(run_id) == ("waiting", "charge")


def test_an_operators_retry_of_a_begun_step_takes_a_new_key(face: Face, charge: str) -> None:
    begun = face.begun(charge)
    run_id = begun["run"]["id"]
    face.fail(begun)

    face.retry(run_id)

    again = face.hold(run_id)
    assert begun["step"]["idempotencyKey"] == f"{run_id}:0"
    assert again["step"]["idempotencyKey"] == f"{run_id}:1"
    assert again["step"]["name"] == "charge"
    assert [s["state"] for s in face.steps(run_id)] == ["failed"]
    assert face.succeed(again)["next"]["step"]["index"] == 2


def test_an_operators_retry_of_a_step_that_never_began_keeps_its_key(
    face: Face, charge: str
) -> None:
    dispatch = face.dispatch(charge)
    face.fail(dispatch)
    face.retry(dispatch["run"]["id"])

    assert face.hold(dispatch["run"]["id"])["step"]["index"] == 0


def test_a_retry_after_a_begun_step_that_was_done_concerns_the_next_step(
    face: Face, charge: str
) -> None:
    begun = face.begun(charge)
    following = face.succeed(begun)["next"]
    face.fail(following, retryable=False)
    face.retry(begun["run"]["id"])

    assert face.hold(begun["run"]["id"])["step"]["index"] == 1


def test_a_report_after_the_lease_was_taken_does_not_answer_the_question(
    face: Face, charge: str
) -> None:
    """Only a person who has looked at the other system may."""
    begun = face.begun(charge)
    face.expire(begun["run"]["id"])

    result: dict[str, Any] = face.succeed(begun)

    assert result["problem"]["code"] == "lease-lost"
    assert face.state(begun["run"]["id"]) == ("waiting", "charge")


def test_the_keeper_and_the_mark_at_the_same_instant_never_run_the_step_twice(
    face: Face, charge: str
) -> None:
    """Whoever was told `started` finds the run parked; whoever was not has not begun."""
    expire = partial(
        transact,
        face.services.database.leases,
        partial(endings.expire, since=datetime.now(UTC), limit=5),
    )
    started = 0
    for _ in range(200):
        dispatch = face.dispatch(charge)
        run_id = dispatch["run"]["id"]
        face.sql(
            'UPDATE "workflowRuns" SET "leaseExpiresAt" = clock_timestamp() - interval \'1 ms\''
            " WHERE id = %s",
            run_id,
        )
        face.sql('UPDATE keeper SET "lastTickAt" = clock_timestamp()')
        face.forgive()

        answer, _ = both_at_once(partial(face.start, dispatch), expire)

        state = face.state(run_id)[0]
        if answer.status_code == 200:
            started += 1
            # Begun: parked, or held by whoever began it.
            assert state in ("waiting", "started")
            if state == "started":
                expire()
                assert face.state(run_id)[0] == "waiting"
        else:
            assert problem(answer) == (409, "lease-lost")
            assert state == "pending"

    assert 0 < started < 200, "one side always won: this was no race"

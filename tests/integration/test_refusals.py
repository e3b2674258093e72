"""Who was refused a run is counted for it, the last few are told, and it goes with the run."""

from __future__ import annotations

from contextlib import closing
from typing import Any
from uuid import uuid4

import orjson
import psycopg
import pytest

from orchestrator.errors import RunHeld
from orchestrator.lifecycle import Role
from orchestrator.store.refusals import MOST_KEPT, refusals_of
from orchestrator.store.tally import OTHERS
from orchestrator.store.transaction import transact
from tests.database import Database
from tests.integration.dibs import Dibs, activity_of
from tests.integration.face import Face
from tests.integration.wishes import QUEUE, Executor, outcome


def refusals(face: Face, run_id: str) -> dict[str, Any]:
    face.services.activity.write()
    return face.ask(Role.VIEWER, "GET", f"/v1/runs/{run_id}/refusals")


def codes(dibs: Dibs, run_id: Any) -> list[str]:
    """The codes of a run's last refusals, newest first."""
    activity_of(dibs).write()
    told = transact(dibs.database.work, lambda connection: refusals_of(connection, run_id))
    return [one["code"] for one in orjson.loads(orjson.dumps(told.last))]


def test_a_claim_of_a_held_run_is_told_with_who_asked_for_whom(face: Face) -> None:
    run_id = face.dispatch("refund")["run"]["id"]
    asked = {"session": face.session, "requestId": str(uuid4()), "executor": "two"}
    client = {"Dibs-On-Behalf-Of": f"Bearer {face.tokens[Role.CLIENT]}"}
    face.send(Role.EXECUTOR, "POST", f"/v1/runs/{run_id}/claim", asked, client)
    face.claim_run(run_id)
    told = refusals(face, run_id)

    assert told["count"] == 2
    assert [(one["code"], one["executor"], one["onBehalfOf"]) for one in told["last"]] == [
        ("run-held", "executor", None),
        ("run-held", "executor:two", "client"),
    ]
    assert told["last"][0]["at"] >= told["last"][1]["at"]


def test_a_run_that_nobody_was_refused(face: Face) -> None:
    assert refusals(face, face.create("refund")["id"]) == {"count": 0, "last": []}


def test_a_run_of_another_queue_is_like_one_that_is_not_there(face: Face) -> None:
    for role in (Role.CLIENT, Role.VIEWER):
        answer = face.send(role, "GET", f"/v1/runs/{uuid4()}/refusals")
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("members", "code"),
    [({"availableAt": "2099-01-01T00:00:00Z"}, "run-not-claimable"), ({}, "run-over")],
)
def test_a_run_that_cannot_be_claimed(face: Face, members: dict[str, Any], code: str) -> None:
    run_id = face.create("refund", **members)["id"]
    if not members:
        face.abort(run_id)
    face.claim_run(run_id)

    assert [one["code"] for one in refusals(face, run_id)["last"]] == [code]


def test_the_last_few_are_kept_and_all_are_counted(face: Face) -> None:
    run_id = face.dispatch("refund")["run"]["id"]
    for number in range(MOST_KEPT + 2):
        face.claim_run(run_id, executor=f"e{number}")
        told = refusals(face, run_id)

    assert told["count"] == MOST_KEPT + 2
    assert [one["executor"] for one in told["last"]] == [
        f"executor:e{number}" for number in range(MOST_KEPT + 1, 1, -1)
    ]


def test_a_holder_that_has_lost_its_lease_is_told_of(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.release(executor, dispatch)
    dibs.tell(dispatch, executor, "success")
    dibs.renew(executor, dispatch)

    assert codes(dibs, dispatch.run.id) == ["lease-lost", "lease-lost"]


def test_another_outcome_is_told_of(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.tell(dispatch, executor, "success")
    dibs.tell(dispatch, executor, "unknown", message="?")

    assert codes(dibs, dispatch.run.id) == ["outcome-conflict"]


def test_a_step_that_may_not_begin_is_told_of(face: Face, charge: str) -> None:
    dispatch = face.dispatch(charge)
    face.release(dispatch)
    face.start(dispatch)

    assert [one["code"] for one in refusals(face, dispatch["run"]["id"])["last"]] == ["lease-lost"]


def test_whoever_invents_a_lease_writes_nothing_of_the_run(dibs: Dibs, executor: Executor) -> None:
    run = dibs.pending()
    told = outcome(dibs.dispatch(executor), executor, "success")
    dibs.report(told._replace(run_id=run.id, lease_id=uuid4()))

    assert codes(dibs, run.id) == []
    rows = dibs.sql('SELECT queue, refused FROM activity WHERE "spanSeconds" = 60')
    assert {row["queue"]: row["refused"] for row in rows} == {QUEUE: 0, OTHERS: 1}


def test_two_processes_tell_of_the_same_run(
    dibs: Dibs, database: Database, owner: psycopg.Connection, executor: Executor
) -> None:
    run_id = dibs.dispatch(executor).run.id
    with closing(Dibs(database.service_url, owner)) as twin:
        for each in (dibs, twin):
            for _ in range(MOST_KEPT - 1):
                with pytest.raises(RunHeld):
                    each.claim_run(Executor("fleet:other"), run_id)
            activity_of(each).write()

    assert codes(dibs, run_id) == ["run-held"] * MOST_KEPT
    (row,) = dibs.sql('SELECT number FROM "refusedClaims"')
    assert row == {"number": 2 * (MOST_KEPT - 1)}

"""Chaining: a success hands out the next step under the same lease, or lets it be claimed."""

from __future__ import annotations

import time

import pytest

from orchestrator.lifecycle import Role
from tests.integration.face import Face, Json, fresh_name, step


def test_a_success_goes_on_under_the_same_lease_which_is_extended(face: Face, chain: str) -> None:
    dispatch = face.dispatch(chain, input={"orderId": 7})
    face.sql(
        'UPDATE "workflowRuns" SET "leaseExpiresAt" = now() + interval \'1 s\' WHERE id = %s',
        dispatch["run"]["id"],
    )

    result = face.succeed(dispatch, {"ok": True})

    following = result["next"]
    assert (result["status"], result["replayed"]) == ("continue", False)
    assert following["lease"]["id"] == dispatch["lease"]["id"]
    assert following["lease"]["fence"] == dispatch["lease"]["fence"]
    assert following["lease"]["expiresAt"] >= dispatch["lease"]["expiresAt"]
    assert (following["run"]["runState"], following["run"]["attempt"]) == ("started", 1)
    assert following["step"] | {"idempotencyKey": ""} == {
        "index": 1,
        "name": "b",
        "type": "b",
        "params": {},
        "input": {"orderId": 7},
        "outputs": {"a": {"ok": True}},
        "resumed": False,
        "mutating": False,
        "timeoutSeconds": None,
        "idempotencyKey": "",
    }
    assert following["step"]["idempotencyKey"] == f"{dispatch['run']['id']}:1"


def test_a_run_is_executed_step_by_step_to_its_end(face: Face, chain: str) -> None:
    dispatch = face.dispatch(chain)
    run_id = dispatch["run"]["id"]

    second = face.succeed(dispatch, "of a")["next"]
    third = face.succeed(second, "of b")["next"]
    last = face.succeed(third, "of c")

    run = face.run(run_id)
    assert (last["status"], last["next"]) == ("finished", None)
    assert (run["runState"], run["output"], run["stepIndex"]) == ("finished", "of c", 2)
    assert [(s["stepIndex"], s["name"], s["state"], s["output"]) for s in face.steps(run_id)] == [
        (0, "a", "finished", "of a"),
        (1, "b", "finished", "of b"),
        (2, "c", "finished", "of c"),
    ]
    assert face.kinds(run_id) == ["created", "claimed", "reported", "reported", "reported"]


def test_the_result_and_the_next_step_are_stored_together_or_not_at_all(
    face: Face, chain: str
) -> None:
    dispatch = face.dispatch(chain)
    run_id = dispatch["run"]["id"]
    before = face.row(run_id)
    face.sql(f"""
        CREATE FUNCTION refuse_it() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'never' USING ERRCODE = 'check_violation'; END $$;
        CREATE TRIGGER refuse_it BEFORE INSERT ON "workflowSteps" FOR EACH ROW
          WHEN (NEW."runId" = '{run_id}') EXECUTE FUNCTION refuse_it()""")
    try:
        refused = face.succeed(dispatch)
    finally:
        face.sql('DROP TRIGGER refuse_it ON "workflowSteps"; DROP FUNCTION refuse_it')

    assert (refused["status"], refused["problem"]["status"]) == ("refused", 422)
    assert face.row(run_id) == before
    assert face.kinds(run_id) == ["created", "claimed"]
    assert face.succeed(dispatch)["status"] == "continue"


def test_a_step_of_a_paused_queue_waits_for_a_claim(face: Face, chain: str) -> None:
    dispatch = face.dispatch(chain)
    face.pause(dispatch["run"]["queue"])

    result = face.succeed(dispatch)

    check_pending(face, dispatch, result)


@pytest.mark.parametrize("state", ["drain", "quarantine"])
def test_an_executor_that_is_taken_out_of_service_does_not_go_on(
    face: Face, chain: str, state: str
) -> None:
    session = face.session
    dispatch = face.hold(face.create(chain)["id"], executor="one")
    face.register(session)
    face.ask(Role.OPERATOR, "POST", f"/v1/executors/executor:one/{state}", {})

    result = face.succeed(dispatch)

    face.ask(Role.OPERATOR, "POST", "/v1/executors/executor:one/resume", {})
    check_pending(face, dispatch, result)


def test_another_session_that_drains_does_not_count(face: Face, chain: str) -> None:
    dispatch = face.hold(face.create(chain)["id"], executor="one")
    face.register("00000000-0000-4000-8000-000000000000", draining=True)

    assert face.succeed(dispatch)["status"] == "continue"


@pytest.mark.parametrize("column", ["revokedAt", "expiresAt"])
def test_a_token_that_is_no_good_any_more_does_not_go_on(
    face: Face, chain: str, column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reports was let in just before; the next step is not for him."""
    now = time.monotonic()
    monkeypatch.setattr(face.services.tokens, "_clock", lambda: now)
    dispatch = face.dispatch(chain)
    face.sql(f"""UPDATE "accessTokens" SET "{column}" = now() WHERE role = 'executor'""")
    try:
        result = face.succeed(dispatch)
    finally:
        face.sql(f"""UPDATE "accessTokens" SET "{column}" = NULL WHERE role = 'executor'""")

    check_pending(face, dispatch, result)


def test_a_holder_that_does_not_want_to_goes_on_with_nothing(face: Face, chain: str) -> None:
    dispatch = face.dispatch(chain)

    result = face.succeed(dispatch, chain=False)

    check_pending(face, dispatch, result)


def check_pending(face: Face, dispatch: Json, result: Json) -> None:
    row = face.row(dispatch["run"]["id"])
    assert (result["status"], result["next"], result["problem"]) == ("pending", None, None)
    assert (row["runState"], row["stepName"], row["stepIndex"]) == ("pending", "b", 1)
    assert (row["leaseId"], row["lockedBy"], row["attempt"]) == (None, None, 1)
    face.pause(row["queue"], paused=False)
    (again,) = face.claim(row["stepQueue"])
    assert (again["step"]["name"], again["run"]["attempt"]) == ("b", 2)
    assert again["lease"]["fence"] > dispatch["lease"]["fence"]


def test_a_step_of_another_queue_is_claimed_there_and_the_run_stays_where_it_belongs(
    face: Face,
) -> None:
    elsewhere = fresh_name("gpu")
    workflow = face.define(step("a", "b"), step("b", "c", queue=elsewhere), step("c"))
    dispatch = face.dispatch(workflow)
    home = dispatch["run"]["queue"]

    result = face.succeed(dispatch)

    run = face.run(dispatch["run"]["id"])
    assert result["status"] == "pending"
    assert (run["queue"], run["stepQueue"]) == (home, elsewhere)
    assert face.claim(home) == []
    (there,) = face.claim(elsewhere)
    assert face.succeed(there)["status"] == "pending"
    (back,) = face.claim(home)
    assert back["step"]["name"] == "c"


def test_a_first_step_of_another_queue_is_claimed_there(face: Face) -> None:
    elsewhere = fresh_name("gpu")
    workflow = face.define(step("a", "b", queue=elsewhere), step("b", queue=elsewhere))
    run = face.create(workflow)

    (dispatch,) = face.claim(elsewhere)

    assert (run["stepQueue"], dispatch["run"]["id"]) == (elsewhere, run["id"])
    assert face.succeed(dispatch)["status"] == "continue"


def test_an_abort_that_was_asked_for_ends_the_run_and_the_result_is_kept(
    face: Face, chain: str
) -> None:
    dispatch = face.dispatch(chain)
    run_id = dispatch["run"]["id"]
    face.abort(run_id)

    result = face.succeed(dispatch, {"charged": 7})

    assert (result["status"], result["next"], result["problem"]) == ("aborted", None, None)
    assert face.run(run_id)["output"] is None
    assert [(s["state"], s["output"]) for s in face.steps(run_id)] == [("finished", {"charged": 7})]
    face.retry(run_id)
    assert face.hold(run_id)["step"]["name"] == "b"


def test_an_abort_that_comes_in_the_last_step_is_too_late(face: Face, chain: str) -> None:
    dispatch = face.dispatch(chain)
    last = face.succeed(face.succeed(dispatch)["next"])["next"]
    face.abort(dispatch["run"]["id"])

    assert face.succeed(last)["status"] == "finished"


def test_runs_of_one_batch_each_go_their_own_way(face: Face, chain: str) -> None:
    held = [face.dispatch(chain) for _ in range(4)]
    face.abort(held[2]["run"]["id"])

    results = face.tell(
        (held[0], {"status": "success", "output": 0}),
        (held[1], {"status": "error", "message": "no"}),
        (held[2], {"status": "success", "output": 2}),
        (held[3], {"status": "success", "next": "nowhere"}),
        (held[0], {"status": "success", "output": 0}),
    )

    assert [(r["status"], r["replayed"]) for r in results] == [
        ("continue", False),
        ("scheduled", False),
        ("aborted", False),
        ("failed", False),
        ("continue", True),
    ]
    assert [r["next"] and r["next"]["run"]["id"] for r in results] == [
        held[0]["run"]["id"],
        None,
        None,
        None,
        held[0]["run"]["id"],
    ]


def test_a_step_started_twice_does_not_chain_past_the_write_ahead_of_the_next(face: Face) -> None:
    """The mark belongs to the step that wrote it: the next one has not begun."""
    workflow = face.define(step("a", "b", mutating=True), step("b", mutating=True))
    begun = face.begun(workflow)

    second = face.succeed(begun)["next"]

    assert second["run"]["mutatingSince"] is None
    assert face.start(begun).status_code == 409
    assert face.row(begun["run"]["id"])["mutatingSince"] is None
    face.expire(begun["run"]["id"])
    assert face.state(begun["run"]["id"]) == ("pending", "b")

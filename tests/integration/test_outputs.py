"""Outputs of earlier steps: a dispatch carries what its step uses, and no more."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import orjson
import pytest

from orchestrator.store import claims, reports
from orchestrator.store.claims import RunWish
from tests.integration.blocking import waits_for_a_lock
from tests.integration.face import Face, Json, step

KILOBYTE = "x" * 1024


def walk(face: Face, workflow: str, *, chain: bool = True) -> list[Json]:
    """Execute a run to its end, each step's output its own name; what each step was given."""
    dispatch = face.dispatch(workflow)
    given = [dispatch["step"]["outputs"]]
    while True:
        result = face.succeed(dispatch, f"of {dispatch['step']['name']}", chain=chain)
        if result["status"] == "finished":
            return given
        dispatch = result["next"] or face.hold(dispatch["run"]["id"])
        given.append(dispatch["step"]["outputs"])


@pytest.mark.parametrize("chain", [True, False])
def test_a_step_gets_the_previous_ones_output_unless_it_says_what_it_uses(
    face: Face, chain: bool
) -> None:
    workflow = face.define(
        step("a", "b"),
        step("b", "c"),
        step("c", "d", uses=["a"]),
        step("d", "e", uses=["a", "b", "c"]),
        step("e"),
    )

    assert walk(face, workflow, chain=chain) == [
        {},
        {"a": "of a"},
        {"a": "of a"},
        {"a": "of a", "b": "of b", "c": "of c"},
        {"d": "of d"},
    ]


def test_a_step_that_was_not_executed_has_no_output(face: Face) -> None:
    workflow = face.define(
        step("a", "b", "c"), step("b", "d"), step("c", "d"), step("d", uses=["b", "c"])
    )
    dispatch = face.succeed(face.dispatch(workflow), next="c")["next"]

    assert face.succeed(dispatch, "of c")["next"]["step"]["outputs"] == {"c": "of c"}


@pytest.mark.parametrize("output", [None, False, 0, "", [], {}, 2**70, "\u2028"])
def test_an_output_arrives_as_it_was_reported(face: Face, output: object) -> None:
    workflow = face.define(step("a", "b"), step("b"))

    following = face.succeed(face.dispatch(workflow), output)["next"]

    assert following["step"]["outputs"] == {"a": output}


def test_of_a_name_that_came_twice_the_latest_output_counts(face: Face) -> None:
    workflow = face.define(
        step("ask", "weigh", waits=True), step("weigh", "ask", "end", uses=["ask"]), step("end")
    )
    dispatch = face.dispatch(workflow)
    for turn in range(3):
        weighing = face.succeed(dispatch, turn)["next"]
        assert weighing["step"]["outputs"] == {"ask": turn}
        dispatch = face.succeed(weighing, f"weighed {turn}", next="ask")["next"]
        assert dispatch["step"]["outputs"] == {"weigh": f"weighed {turn}"}

    assert dispatch["step"]["index"] == 6


def test_a_failed_try_leaves_the_outputs_alone(face: Face) -> None:
    workflow = face.define(step("a", "b"), step("b", retry={"backoffSeconds": 0}))
    following = face.succeed(face.dispatch(workflow), "of a")["next"]
    face.fail(following)
    face.let_time_pass(following["run"]["id"])

    assert face.hold(following["run"]["id"])["step"]["outputs"] == {"a": "of a"}


def test_a_claim_stops_before_its_answer_is_too_large_outputs_counted(face: Face) -> None:
    """Its own input, twice, and three outputs of 250 KiB each: twelve do not fit into 8 MiB."""
    names = ["a", "b", "c"]
    workflow = face.define(
        step("a", "b"), step("b", "c"), step("c", "d"), step("d", uses=names, queue="large-outputs")
    )
    payload = KILOBYTE * 250
    for _ in range(12):
        dispatch = face.dispatch(workflow, input=payload)
        for _ in names:
            dispatch = face.succeed(dispatch, payload)["next"]

    first = face.claim("large-outputs", limit=50)
    second = face.claim("large-outputs", limit=50)

    assert len(orjson.dumps(first[:-1])) < 8 * 1024 * 1024
    assert 5 <= len(first) <= 8
    assert len(first) + len(second) == 12
    assert all(each["step"]["outputs"] == dict.fromkeys(names, payload) for each in first)


def test_a_claim_that_waited_for_the_row_sees_what_was_reported_meanwhile(face: Face) -> None:
    """
    A claim that waits for a lock gets the newest row, and beside it all other tables as
    they were when it began: the outputs must be read after it.
    """
    workflow = face.define(step("a", "b"), step("b"))
    run_id = UUID(face.create(workflow)["id"])
    database = face.services.database
    with ThreadPoolExecutor(1) as thread, database.leases.connect() as connection:
        with connection.begin():
            connection.exec_driver_sql(
                'SELECT FROM "workflowRuns" WHERE id = %(id)s FOR UPDATE', {"id": run_id}
            )
            waiting = thread.submit(face.claim_run, str(run_id))
            assert waits_for_a_lock(face.owner)
            held = claims.claim_run(
                connection,
                RunWish(uuid4(), "executor", "executor", uuid4(), 30, run_id, input=None),
            )
            assert held is not None
            reports.report(
                connection,
                [reports.Report("executor", run_id, held.lease.id, 0, "success", b"h", '"of a"')],
            )
        answer = waiting.result()

    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    assert (answer.json["step"]["name"], answer.json["step"]["outputs"]) == ("b", {"a": "of a"})

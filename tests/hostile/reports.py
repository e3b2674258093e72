"""Reports that do not fit: B39 to B46."""

from functools import partial
from typing import Any, Final
from uuid import uuid4

import orjson

from tests.acceptance.client import Json, outcome_of
from tests.contract.raw_http import RawAnswer
from tests.hostile.case import LEASE_LOST, SERVED, VALIDATION, Case, Told
from tests.hostile.place import EXECUTOR, OPERATOR, STRANGER, Place, a_queue
from tests.hostile.run_ids import NOBODYS

OUTCOME_CONFLICT: Final[Told] = (409, "outcome-conflict")
STEP_OUT_OF_ORDER: Final[Told] = (409, "step-out-of-order")

SUCCESS: Final[Json] = {"status": "success", "output": {"amount": 7}}
OTHER_SUCCESS: Final[Json] = {"status": "success", "output": {"amount": 8}}
ERROR: Final[Json] = {"status": "error", "message": "after all", "retryable": False}
QUESTION: Final[Json] = {"status": "awaiting-input", "waitingFor": {"schema": {}}}

TWO_STEPS: Final[Json] = {
    "steps": [
        {"name": "check", "type": "check", "next": ["pay"]},
        {"name": "pay", "type": "pay"},
    ]
}


def tell(place: Place, report: Json, *, by: str = EXECUTOR) -> RawAnswer:
    """Report one thing; what stands in its item, as if it were an answer of its own."""
    body = {"session": str(uuid4()), "chain": True, "reports": [report]}
    answer = place.send("POST", "/v1/reports", body, by=by)
    if answer.status != 200:
        return answer
    (result,) = orjson.loads(answer.body)["results"]
    problem = result["problem"]
    if problem is None:
        assert result["status"] != "refused"
        return answer
    assert result["status"] == "refused"
    assert result["next"] is None
    # An item's problem says all that a document says, but for which request it was.
    document = problem | {"instance": "", "requestId": answer.headers["x-request-id"]}
    headers = {**answer.headers, "content-type": "application/problem+json"}
    return RawAnswer(problem["status"], headers, orjson.dumps(document))


def _unknown_lease(place: Place) -> RawAnswer:
    dispatch = place.held(a_queue())
    answer = tell(place, outcome_of(dispatch, SUCCESS, leaseId=NOBODYS))
    assert place.run(dispatch["run"]["id"])["runState"] == "loading"
    return answer


def _lease_of_another_run(place: Place) -> RawAnswer:
    dispatch, other = place.held(a_queue()), place.held(a_queue())
    return tell(place, outcome_of(dispatch, SUCCESS, leaseId=other["lease"]["id"]))


def _leased_to_another(place: Place) -> RawAnswer:
    queue = a_queue()
    first = place.held(queue)
    lease = {"leaseId": first["lease"]["id"], "runId": first["run"]["id"]}
    release = {"session": str(uuid4()), "leases": [lease], "reason": "draining"}
    place.ask("POST", "/v1/leases/release", release, by=EXECUTOR)
    second = place.claim(queue, by=STRANGER)

    answer = tell(place, outcome_of(first, SUCCESS))

    assert STRANGER.encode() not in answer.body
    assert second["lease"]["id"].encode() not in answer.body
    (result,) = place.report(outcome_of(second, SUCCESS), by=STRANGER)
    assert result["status"] == "finished"
    return answer


def _lease_of_a_stranger(place: Place) -> RawAnswer:
    dispatch = place.held(a_queue())
    theirs, nobodys = (
        tell(place, outcome_of(dispatch, SUCCESS, leaseId=lease_id), by=STRANGER)
        for lease_id in (dispatch["lease"]["id"], NOBODYS)
    )
    assert orjson.loads(theirs.body)["detail"] == orjson.loads(nobodys.body)["detail"]
    assert place.run(dispatch["run"]["id"])["runState"] == "loading"
    return theirs


def _twice(place: Place, first: Json, second: Json) -> RawAnswer:
    dispatch = place.held(a_queue())
    assert tell(place, outcome_of(dispatch, first)).status == 200
    before = place.run(dispatch["run"]["id"])

    answer = tell(place, outcome_of(dispatch, second))

    assert place.run(dispatch["run"]["id"]) == before
    if first == second:
        assert orjson.loads(answer.body)["results"][0]["replayed"] is True
    return answer


def _pending(place: Place) -> RawAnswer:
    run_id = place.create(a_queue())
    return tell(place, _under_no_lease(run_id))


def _waiting(place: Place) -> RawAnswer:
    return _after(place, QUESTION, "waiting")


def _over(place: Place) -> RawAnswer:
    return _after(place, SUCCESS, "finished")


def _aborted(place: Place) -> RawAnswer:
    run_id = place.create(a_queue())
    place.ask("POST", f"/v1/runs/{run_id}/abort", {})
    return tell(place, _under_no_lease(run_id))


def _after(place: Place, outcome: Json, state: str) -> RawAnswer:
    dispatch = place.held(a_queue())
    run_id = dispatch["run"]["id"]
    place.report(outcome_of(dispatch, outcome))
    before = place.run(run_id)
    assert before["runState"] == state

    answer = tell(place, _under_no_lease(run_id))

    assert place.run(run_id) == before
    return answer


def _under_no_lease(run_id: str) -> Json:
    return {"leaseId": str(uuid4()), "runId": run_id, "stepIndex": 0, "outcome": SUCCESS}


def _at_step(place: Place, index: int) -> RawAnswer:
    dispatch = place.held(a_queue())
    return tell(place, outcome_of(dispatch, SUCCESS, stepIndex=index))


def _old_step_again(place: Place) -> RawAnswer:
    queue = a_queue()
    place.ask("PUT", f"/v1/workflows/{queue}", TWO_STEPS, by=OPERATOR)
    place.create(queue, workflow=queue)
    dispatch = place.claim(queue)
    (first,) = place.report(outcome_of(dispatch, SUCCESS))
    assert first["status"] == "continue"

    answer = tell(place, outcome_of(dispatch, OTHER_SUCCESS))

    steps = place.ask("GET", f"/v1/runs/{dispatch['run']['id']}/steps")["items"]
    assert steps[0]["output"] == SUCCESS["output"]
    return answer


def _no_outcome(place: Place, outcome: Any) -> RawAnswer:
    report = {"leaseId": NOBODYS, "runId": NOBODYS, "stepIndex": 0, "outcome": outcome}
    answer = tell(place, report)
    assert b'"path":"/reports/0/outcome' in answer.body
    return answer


CASES: Final = (
    Case("B39", "unknown lease", _unknown_lease, (LEASE_LOST,), writes=True),
    Case("B39", "lease of another run", _lease_of_another_run, (LEASE_LOST,), writes=True),
    Case("B40", "given back", _leased_to_another, (LEASE_LOST,), writes=True),
    Case("B41", "as an unknown one", _lease_of_a_stranger, (LEASE_LOST,), writes=True),
    Case("B42", "success", partial(_twice, first=SUCCESS, second=SUCCESS), (SERVED,), writes=True),
    Case("B42", "error", partial(_twice, first=ERROR, second=ERROR), (SERVED,), writes=True),
    *(
        Case(row, what, partial(_twice, first=a, second=b), (OUTCOME_CONFLICT,), writes=True)
        for row, what, a, b in (
            ("B43", "another output", SUCCESS, OTHER_SUCCESS),
            ("B43", "a question", SUCCESS, QUESTION),
            ("B45", "success, then error", SUCCESS, ERROR),
            ("B45", "error, then success", ERROR, SUCCESS),
        )
    ),
    Case("B44", "pending", _pending, (LEASE_LOST,), writes=True),
    Case("B44", "waiting", _waiting, (LEASE_LOST,), writes=True),
    Case("B44", "finished", _over, (LEASE_LOST,), writes=True),
    Case("B44", "aborted", _aborted, (LEASE_LOST,), writes=True),
    Case("B46", "skipped", partial(_at_step, index=1), (STEP_OUT_OF_ORDER,), writes=True),
    Case("B46", "negative", partial(_at_step, index=-1), (VALIDATION,), writes=True),
    Case(
        "B46", "far", partial(_at_step, index=2**31), (STEP_OUT_OF_ORDER, VALIDATION), writes=True
    ),
    # The same refusal as for a run's only step: one rule for all of a run's steps.
    Case("B46", "repeated with another body", _old_step_again, (OUTCOME_CONFLICT,), writes=True),
    *(
        Case("B31", f"outcome {what}", partial(_no_outcome, outcome=outcome), (VALIDATION,))
        for what, outcome in {
            "with an unknown member": {"status": "success", "output": 1, "extra": 1},
            "of an unknown status": {"status": "done"},
            "without a status": {"output": 1},
            "error without a message": {"status": "error"},
            "error with a number": {"status": "error", "message": 1},
            "error with a text for a flag": {"status": "error", "message": "x", "retryable": "yes"},
            "later without a time": {"status": "later"},
            "later at no time": {"status": "later", "availableAt": "tomorrow"},
            "a question without its form": {"status": "awaiting-input"},
            "a question for no time": {
                "status": "awaiting-input",
                "waitingFor": {"timeoutSeconds": 0},
            },
            "a question that explodes": {
                "status": "awaiting-input",
                "waitingFor": {"onTimeout": "explode"},
            },
            "null": None,
        }.items()
    ),
)

"""The adapter stores outcomes: by number and step, once, for whoever was handed the step."""

from contextlib import closing
from typing import Any

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json, outcome_of
from tests.acceptance.stage import make_token
from tests.contract.adapter import (
    CONDITION,
    GUIDANCE,
    ROOT,
    Adapter,
    run_id_of,
    step_of,
    told,
    update,
)


def polled(adapter: Adapter, queue: str, *steps: Json, **members: Any) -> tuple[Any, Json]:
    """A run of these steps, and the executor that holds it."""
    executor = adapter.executor(queue)
    workflow = adapter.define(f"w-{queue}", *steps) if steps else "refund"
    adapter.web.create(queue, workflow, **members)
    [run] = executor.poll()
    return executor, run


def steps(*names: str) -> list[Json]:
    return [{"name": name, "type": name} for name in names]


def test_the_last_step_ends_the_run(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)

    answer = executor.tell(run)

    assert (answer.status_code, answer.content) == (200, b"null")
    assert adapter.web.run(run_id_of(run))["runState"] == "finished"


def test_a_step_is_followed_by_the_next_under_the_same_lease(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue, *steps("one", "two", "three"))

    second = executor.go_on(run)

    assert second is not None
    assert second["id"] == run["id"]
    assert [entry["stepIndex"] for entry in second["workflowHistory"]] == [0, 1]
    done, current = second["workflowHistory"]
    assert (done["done"], done["context"]) == (True, {"status": "success"})
    assert done["stepDefinition"] == step_of(run)["stepDefinition"]
    assert (current["done"], current["stepName"]) == (False, "two")
    assert second["userProfile"]["tags"] == run["userProfile"]["tags"] | {
        "key": f"{run_id_of(run)}:1",
        "step": "two",
    }
    assert second["userProfile"]["serverToken"] != run["userProfile"]["serverToken"]
    third = executor.go_on(second)
    assert third is not None
    assert executor.go_on(third) is None


def test_an_error_is_final(adapter: Adapter, queue: str) -> None:
    """Their executor remembers it by the step's index, and would not try again."""
    executor, run = polled(adapter, queue, maxFailures=10)

    assert executor.go_on(run, "error", message="no such card") is None

    stored = adapter.web.run(run_id_of(run))
    assert stored["runState"] == "failed"
    assert stored["error"] == {"code": "step-failed", "message": "no such card", "stepIndex": 0}


def test_a_run_that_is_retried_has_a_larger_index(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)
    executor.go_on(run, "error")
    adapter.web.ask("POST", f"/v1/runs/{run_id_of(run)}/retry", {})

    [again] = executor.poll()

    assert again["id"] == run["id"]
    assert step_of(again)["stepIndex"] == 1
    assert executor.go_on(again) is None
    assert adapter.web.run(run_id_of(run))["runState"] == "finished"


def test_an_error_text_of_any_length_ends_the_step(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)

    assert executor.go_on(run, "error", message="x" * 100_000) is None

    assert len(adapter.web.run(run_id_of(run))["error"]["message"]) == 8_000


def test_what_is_waited_for_stays_with_the_executor(adapter: Adapter, queue: str) -> None:
    executor, run = polled(
        adapter, queue, {"name": "ask", "type": "ask", "params": GUIDANCE, "waits": True}
    )

    assert executor.go_on(run, "awaiting-input", awaitingInputReason="somebody signs") is None

    waiting = adapter.web.run(run_id_of(run))
    assert waiting["runState"] == "waiting"
    assert waiting["waitingFor"] == {"reason": "input", "message": "somebody signs"}


def branching(**ways: Any) -> list[Json]:
    condition = {"name": "ask", "type": "ask", "next": ["y", "n"], "params": CONDITION | ways}
    return [condition, {"name": "y", "type": "y", "next": []}, {"name": "n", "type": "n"}]


@pytest.mark.parametrize(
    ("ways", "option", "chosen"),
    [
        ({}, "Yes", "y"),
        ({}, "No", "n"),
        ({"outgoing": [{"stepId": "n", "answer": "a"}, {"stepId": "y", "answer": "b"}]}, "a", "n"),
        ({"outgoing": [{"answer": "a"}, {"answer": "b"}]}, "b", "n"),
        ({"outgoing": [{"buttonText": "a"}, {"stepId": "elsewhere", "buttonText": "b"}]}, "b", "n"),
    ],
)
def test_an_option_leads_to_a_step(
    adapter: Adapter, queue: str, ways: Json, option: str, chosen: str
) -> None:
    executor, run = polled(adapter, queue, *branching(**ways))

    following = executor.go_on(run, selectedOption=option)

    assert following is not None
    assert step_of(following)["stepName"] == chosen
    assert following["workflowHistory"][0]["context"] == {
        "status": "success",
        "selectedOption": option,
    }


def test_an_option_that_leads_nowhere_is_a_conflict_and_changes_nothing(
    adapter: Adapter, queue: str
) -> None:
    executor, run = polled(adapter, queue, *branching())

    answer = executor.tell(run, selectedOption="Perhaps")

    assert told(answer) == (409, "outcome-conflict")
    assert adapter.web.run(run_id_of(run))["runState"] == "loading"
    assert executor.go_on(run, selectedOption="Yes") is not None


def test_an_approval_is_kept_beside_the_option(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)

    executor.go_on(run, selectedOption="Yes", approvalRequest={"id": "17", "more": 1})

    assert adapter.web.run(run_id_of(run))["output"] == {
        "selectedOption": "Yes",
        "approvalRequest": {"id": "17"},
    }


@pytest.mark.parametrize("status", ["success", "error", "awaiting-input"])
def test_the_same_outcome_again_is_answered_as_the_first_time(
    adapter: Adapter, queue: str, status: str
) -> None:
    executor, run = polled(adapter, queue, *steps("one", "two"))

    first = executor.tell(run, status)
    again = executor.tell(run, status)

    assert (again.status_code, again.content) == (200, first.content)
    assert adapter.web.kinds(run_id_of(run)).count("reported") == 1


def test_the_same_outcome_is_replayed_whatever_has_happened_since(
    adapter: Adapter, queue: str
) -> None:
    executor, run = polled(adapter, queue, *steps("one", "two"))
    second = executor.go_on(run)
    assert second is not None
    executor.go_on(second)

    assert executor.go_on(run) is None
    assert executor.go_on(second) is None


def test_a_late_copy_hands_nothing_over_that_is_under_way(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue, *steps("one", "two", "three"))
    second = executor.go_on(run)
    assert second is not None
    assert executor.go_on(run) == second
    executor.log(second, "write")
    assert executor.go_on(run) is None
    third = executor.go_on(second)
    assert third is not None

    assert executor.go_on(run) is None
    assert executor.go_on(second) == third


def test_another_outcome_is_a_conflict(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue, *steps("one", "two"))
    executor.go_on(run)

    assert told(executor.tell(run, "error")) == (409, "outcome-conflict")
    assert adapter.web.run(run_id_of(run))["stepIndex"] == 1


def test_a_step_that_is_not_the_runs_is_out_of_order(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue, *steps("one", "two"))
    step_of(run)["stepIndex"] = 1

    assert told(executor.tell(run)) == (409, "step-out-of-order")


def test_another_executor_may_not_report(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)
    other = adapter.executor(queue)

    assert told(other.tell(run)) == (409, "lease-lost")
    assert executor.go_on(run) is None


def test_whoever_has_lost_his_lease_may_not_report(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)
    other = adapter.executor(queue)
    adapter.take_away(run)

    assert told(executor.tell(run)) == (409, "lease-lost")
    [again] = other.poll()
    assert told(executor.tell(run)) == (409, "lease-lost")
    assert other.go_on(again) is None
    assert told(executor.tell(run)) == (409, "lease-lost")


def test_a_lease_that_was_got_otherwise_is_not_reported_here(adapter: Adapter, queue: str) -> None:
    """A token of the same name may be used natively beside."""
    executor, run = polled(adapter, queue)
    adapter.take_away(run)
    token = make_token(adapter.stage.database, executor.name, Role.EXECUTOR)
    with closing(Client(adapter.stage.orchestrator.url, token)) as native:
        [dispatch] = native.claim(queue)

        assert told(executor.tell(run)) == (409, "lease-lost")
        assert native.report(outcome_of(dispatch, {"status": "success"}))[0]["problem"] is None


def test_a_step_of_its_queues_is_reported_though_its_run_is_of_another(
    adapter: Adapter, queue: str
) -> None:
    """A step may be claimed from a queue of its own: then only that is the executor's."""
    executor = adapter.executor(f"{queue}-own")
    own = {"name": "pay", "type": "pay", "queue": f"{queue}-own"}
    adapter.web.create(queue, adapter.define(f"w-{queue}", own, {"name": "tell", "type": "tell"}))
    [run] = executor.poll()

    assert executor.schema(run).is_success
    assert executor.log(run).is_success
    assert executor.go_on(run) is None
    assert executor.go_on(run) is None
    assert told(executor.tell(run, "error")) == (409, "outcome-conflict")
    assert adapter.web.run(run_id_of(run))["stepIndex"] == 1
    # It has it no more, and it is of none of its queues.
    assert told(executor.schema(run)) == (404, "not-found")
    assert executor.available(run["id"]) is None


@pytest.mark.parametrize(
    ("output", "context"),
    [("selectedOption", {}), (None, {}), ({"more": "x" * 9}, {}), ({"selectedOption": ""}, {}),
     ({"selectedOption": 7}, {"selectedOption": "7"})],
    ids=str,
)  # fmt: skip
def test_of_a_step_that_was_done_natively_the_option_alone_is_told(
    adapter: Adapter, queue: str, output: Any, context: Json
) -> None:
    """It may be of any form, and large."""
    executor = adapter.executor(queue)
    token = make_token(adapter.stage.database, f"native-{queue}", Role.EXECUTOR)
    adapter.web.create(queue, adapter.define(f"w-{queue}", *steps("one", "two")))
    with closing(Client(adapter.stage.orchestrator.url, token)) as native:
        [dispatch] = native.claim(queue)
        outcome = {"status": "success", "output": output}
        native.report(outcome_of(dispatch, outcome), chain=False)

    [run] = executor.poll()

    [done, _] = run["workflowHistory"]
    assert done["context"] == {"status": "success"} | context


def test_a_run_of_another_queue_is_like_one_that_has_no_such_number(
    adapter: Adapter, queue: str
) -> None:
    _, run = polled(adapter, queue)
    stranger = adapter.executor(f"{queue}x")

    refused = stranger.tell(run)
    missing = stranger.tell(run | {"id": 10**9})

    assert told(refused) == told(missing) == (404, "run-not-found")
    assert refused.json() == missing.json()


def test_an_abort_is_told_by_the_end_of_the_chain(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue, *steps("one", "two"))
    adapter.web.ask("POST", f"/v1/runs/{run_id_of(run)}/abort", {})

    assert executor.go_on(run) is None
    assert adapter.web.run(run_id_of(run))["runState"] == "aborted"


def changed(path: str, value: object) -> Json:
    """A report in which one member is another."""
    run = {"id": 1, "workflowHistory": [{"stepIndex": 0}]}
    body = update(run, "success")
    *above, last = path.split("/")
    place = body
    for name in above:
        place = place[name]
    place[last] = value
    return body


@pytest.mark.parametrize(
    "body",
    [
        *(changed("runId", value) for value in
          (True, 1.0, 1.5, "1", None, 0, -1, 2**53, 10**30, [1], {})),
        *(changed("stepUpdate/stepIndex", value) for value in
          (True, 0.0, "0", None, -1, 2**31, 10**30)),
        changed("executionStatus/type", "unknown"),
        changed("executionStatus", None),
        changed("executionStatus/type", "error"),
        changed("stepUpdate/attributes/context/status", "awaiting-input"),
        changed("stepUpdate/attributes/context/status", "done"),
        changed("stepUpdate/attributes/context", []),
        changed("stepUpdate/attributes/context/selectedOption", 7),
        changed("stepUpdate", {}),
        {},
    ],
    ids=str,
)  # fmt: skip
def test_a_body_that_is_none_is_refused_by_name(adapter: Adapter, queue: str, body: Json) -> None:
    executor = adapter.executor(queue)

    answer = executor.send("POST", f"{ROOT}/update-step", body)

    assert told(answer) == (422, "validation")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "malformed-json"),
        (b"{", "malformed-json"),
        (b"[]", "validation"),
        (b'{"runId": 1, "runId": 2}', "malformed-json"),
        (b'{"runId": 1e999}', "json-number-out-of-range"),
        (b'{"a": "\\u0000"}', "unsupported-character"),
        (b"[" * 40 + b"]" * 40, "json-too-complex"),
        (b'{"a": "' + b"x" * 300_000 + b'"}', "payload-too-large"),
    ],
    ids=range(8),
)
def test_a_body_that_is_not_proper_json_is_refused_by_name(
    adapter: Adapter, queue: str, content: bytes, code: str
) -> None:
    executor = adapter.executor(queue)

    answer = executor.client.send(
        "POST",
        f"{ROOT}/update-step",
        content=content,
        headers={"forest-secret-key": executor.secret, "Content-Type": "application/json"},
    )

    assert told(answer)[1] == code


def test_members_that_are_not_known_are_passed_over(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue)
    body = update(run, "success") | {"later": {"version": 2}}

    assert executor.send("POST", f"{ROOT}/update-step", body).status_code == 200

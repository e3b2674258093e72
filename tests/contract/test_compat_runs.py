"""The adapter hands out runs: what is in them, and to whom they go."""

from collections.abc import Callable
from contextlib import closing

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import outcome_of
from tests.acceptance.waiting import eventually
from tests.contract.adapter import (
    GUIDANCE,
    ROOT,
    Adapter,
    Forest,
    good,
    run_id_of,
    step_of,
    told,
)

NAMES_NO_RUN = (2**53 - 1, 2**53, 10**30, 0, -1, "1.0", "x", "%00", "null", "01", "١")


def test_a_poll_gets_an_array_of_leased_runs(adapter: Adapter, queue: str) -> None:
    executor = adapter.executor(queue)
    run_ids = {adapter.web.create(queue, "refund") for _ in range(3)}

    got = executor.poll()

    assert {run_id_of(run) for run in got} == run_ids
    held = [adapter.web.run(run_id) for run_id in run_ids]
    assert {(run["runState"], run["lockedBy"]) for run in held} == {("loading", executor.name)}
    assert executor.poll() == []


def test_nothing_is_the_literal_empty_array_and_the_literal_null(
    adapter: Adapter, queue: str
) -> None:
    executor = adapter.executor(queue)

    polled = executor.send("GET", f"{ROOT}/pending-run")
    asked = executor.send("GET", f"{ROOT}/available-run/123456")

    assert (polled.status_code, polled.content) == (200, b"[]")
    assert (asked.status_code, asked.content) == (200, b"null")
    assert polled.headers["cache-control"] == asked.headers["cache-control"] == "no-store"


def test_a_run_has_all_that_is_checked_there(adapter: Adapter, queue: str) -> None:
    executor = adapter.executor(queue)
    run_id = adapter.web.create(queue, "charge-card", input={"orderId": 7})

    [run] = executor.poll()

    assert type(run["id"]) is int
    assert run["collectionId"] == run["collectionName"] == "charge-card"
    assert run["selectedRecordId"] == run_id
    assert run["triggerType"] in ("manual", "webhook")
    [step] = run["workflowHistory"]
    assert (step["stepName"], step["stepIndex"], step["done"]) == ("charge-card", 0, False)
    assert step["stepDefinition"]["type"] == "task"
    assert step["stepDefinition"]["taskType"] == "trigger-action"
    assert step["stepDefinition"]["executionType"] == "fully-automated"
    assert step["stepDefinition"]["preRecordedArgs"] == {
        "selectedRecordStepId": "workflow-start",
        "actionName": "charge-card",
    }
    profile = run["userProfile"]
    fence = adapter.web.run(run_id)["fence"]
    assert (profile["id"], profile["email"], profile["renderingId"]) == (1, "dibs@localhost", 1)
    assert profile["tags"] == {
        "fence": str(fence),
        "key": f"{run_id}:0",
        "runId": run_id,
        "step": "charge-card",
    }
    lease_ids = adapter.owner.execute(
        'SELECT "leaseId"::text FROM "workflowRuns" WHERE id = %s', [run_id]
    ).fetchone()
    assert lease_ids is not None
    assert profile["serverToken"]
    assert lease_ids[0] not in str(run)


def test_an_input_says_what_a_run_is_about(adapter: Adapter, queue: str) -> None:
    executor = adapter.executor(queue)
    said = {"recordId": 7, "userId": 42, "collectionName": "orders", "collectionId": "77"}
    adapter.web.create(queue, "refund", input=said)

    [run] = executor.poll()

    assert run["selectedRecordId"] == "7"
    assert (run["collectionName"], run["collectionId"]) == ("orders", "77")
    assert run["userId"] == run["userProfile"]["id"] == 42


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        "text",
        {"recordId": "", "userId": "42", "collectionName": None, "collectionId": {}},
        {"recordId": True, "userId": 2**60, "collectionName": 1.5, "collectionId": [7]},
        {"userId": True},
        {"userId": -1},
    ],
)
def test_an_input_that_says_something_else_is_not_heeded(
    adapter: Adapter, queue: str, said: object
) -> None:
    executor = adapter.executor(queue)
    run_id = adapter.web.create(queue, "refund", input=said)

    [run] = executor.poll()

    assert run["selectedRecordId"] == run_id
    assert run["collectionName"] == run["collectionId"] == "refund"
    assert run["userProfile"]["id"] == 1


def test_a_step_that_is_theirs_is_handed_over_as_it_stands(adapter: Adapter, queue: str) -> None:
    executor = adapter.executor(queue)
    read = {"taskType": "get-data", "executionType": "fully-automated", "preRecordedArgs": {}}
    adapter.define(
        f"w-{queue}",
        {"name": "ask", "type": "ask", "params": GUIDANCE, "waits": True},
        {"name": "look", "type": "look", "params": read},
    )
    adapter.web.create(queue, f"w-{queue}")

    [run] = executor.poll()
    following = executor.go_on(run)

    assert step_of(run)["stepDefinition"] == {"title": "ask", **GUIDANCE}
    assert following is not None
    assert step_of(following)["stepDefinition"] == {"type": "task", "title": "look", **read}


def test_one_poll_gets_no_more_than_it_may(adapter: Adapter, queue: str) -> None:
    executor = adapter.executor(queue)
    adapter.web.create_many(queue, 12, "refund")

    assert [len(executor.poll()) for _ in range(3)] == [10, 2, 0]


def test_a_poll_asks_the_queues_of_its_token_and_no_others(adapter: Adapter, queue: str) -> None:
    named = adapter.executor(f"{queue}.a")
    by_prefix = adapter.executor(f"{queue}.*")
    runs = {name: adapter.web.create(f"{queue}.{name}", "refund") for name in ("a", "b")}
    adapter.web.create(f"{queue}x", "refund")

    assert [run_id_of(run) for run in named.poll()] == [runs["a"]]
    assert [run_id_of(run) for run in by_prefix.poll()] == [runs["b"]]
    served = adapter.ops.ask("GET", "/v1/executors")["items"]
    assert {
        each["name"]: each["queues"]
        for each in served
        if each["name"] in (named.name, by_prefix.name)
    } == {named.name: [f"{queue}.a"], by_prefix.name: [f"{queue}.b"]}


def test_a_run_is_claimed_by_its_number_once(adapter: Adapter, queue: str) -> None:
    first, second = adapter.executor(queue), adapter.executor(queue)
    number = numbered(adapter, queue)

    got = first.available(number)

    assert got is not None
    assert got["id"] == number
    assert second.available(number) is None
    assert first.available(number) is None


def test_a_run_without_a_number_is_claimed_by_its_id(adapter: Adapter, queue: str) -> None:
    executor = adapter.executor(queue)
    run_id = adapter.web.create(queue, "refund")

    got = executor.available(run_id)

    assert got is not None
    assert type(got["id"]) is int
    assert run_id_of(got) == run_id


def test_a_run_keeps_its_number(adapter: Adapter, queue: str) -> None:
    executor = adapter.executor(queue)
    adapter.web.create(queue, "refund")
    [run] = executor.poll()
    adapter.take_away(run)

    again = executor.available(run["id"])

    assert again is not None
    assert (again["id"], run_id_of(again)) == (run["id"], run_id_of(run))
    assert int(again["userProfile"]["tags"]["fence"]) > int(run["userProfile"]["tags"]["fence"])
    assert again["userProfile"]["serverToken"] != run["userProfile"]["serverToken"]


def test_a_run_that_waits_for_input_is_claimed_without_it(adapter: Adapter, queue: str) -> None:
    executor = adapter.executor(queue)
    adapter.define(f"w-{queue}", {"name": "ask", "type": "ask", "params": GUIDANCE})
    adapter.web.create(queue, f"w-{queue}")
    [run] = executor.poll()
    assert executor.go_on(run, "awaiting-input") is None
    assert executor.poll() == []

    again = executor.available(run["id"])

    assert again is not None
    assert step_of(again)["stepIndex"] == 0
    assert step_of(again)["context"] == {"status": "awaiting-input"}
    assert adapter.web.kinds(run_id_of(run))[-2:] == ["resumed", "claimed"]
    assert executor.go_on(again) is None
    assert adapter.web.run(run_id_of(run))["runState"] == "finished"


def test_a_run_that_waits_for_an_input_of_some_form_is_not(adapter: Adapter, queue: str) -> None:
    """Its handler is a native one, and needs what was asked for."""
    executor = adapter.executor(queue)
    run_id = adapter.web.create(queue, "refund")
    wanted = {"status": "awaiting-input", "waitingFor": {"schema": {"type": "object"}}}
    with closing(adapter.stage.client(Role.EXECUTOR)) as native:
        [dispatch] = native.claim(queue)
        native.report(outcome_of(dispatch, wanted))

    assert executor.available(run_id) is None
    assert adapter.web.run(run_id)["runState"] == "waiting"


def pause(adapter: Adapter, queue: str, _run_id: str) -> None:
    adapter.ops.ask("POST", f"/v1/queues/{queue}/pause", {})


def abort(adapter: Adapter, _queue: str, run_id: str) -> None:
    adapter.web.ask("POST", f"/v1/runs/{run_id}/abort", {})


def hold(adapter: Adapter, queue: str, _run_id: str) -> None:
    with closing(adapter.stage.client(Role.EXECUTOR)) as native:
        assert native.claim(queue)


def limit(adapter: Adapter, queue: str, _run_id: str) -> None:
    adapter.web.create(queue, "other", priority=100)
    hold(adapter, queue, "")
    adapter.ops.ask("PUT", f"/v1/queues/{queue}", {"maxConcurrency": 1})


@pytest.mark.parametrize("shut", [pause, abort, hold, limit])
def test_what_cannot_be_had_now_is_null_whatever_the_reason(
    adapter: Adapter, queue: str, shut: Callable[[Adapter, str, str], None]
) -> None:
    executor = adapter.executor(queue)
    run_id = adapter.web.create(queue, "refund")
    shut(adapter, queue, run_id)

    answer = executor.send("GET", f"{ROOT}/available-run/{run_id}")

    assert (answer.status_code, answer.content) == (200, b"null")


def test_what_is_not_due_yet_is_null(adapter: Adapter, queue: str) -> None:
    executor = adapter.executor(queue)
    run_id = adapter.web.create(queue, "refund", availableAt="2999-01-01T00:00:00Z")

    assert executor.available(run_id) is None


@pytest.mark.parametrize("named", NAMES_NO_RUN)
def test_what_names_no_run_is_null(adapter: Adapter, queue: str, named: object) -> None:
    executor = adapter.executor(queue)

    answer = executor.send("GET", f"{ROOT}/available-run/{named}")

    assert (answer.status_code, answer.content) == (200, b"null")


def test_a_run_of_another_queue_is_like_one_that_is_not_there(adapter: Adapter, queue: str) -> None:
    stranger = adapter.executor(f"{queue}x")
    number = numbered(adapter, queue)
    run_id = adapter.web.create(queue, "refund")

    assert stranger.available(number) is None
    assert stranger.available(run_id) is None
    assert may_look(stranger, number, 1) is False
    assert may_look(stranger, 10**9, 1) is False


def test_only_the_user_that_a_run_is_executed_as_may_look(adapter: Adapter, queue: str) -> None:
    executor = adapter.executor(queue)
    adapter.web.create(queue, "refund", input={"userId": 42})
    [run] = executor.poll()

    assert [may_look(executor, run["id"], user) for user in (42, 1, "", "x")] == [
        True, False, False, False]  # fmt: skip
    assert good(executor.send("GET", f"{ROOT}/run/{run['id']}/access-check")) == {
        "hasAccess": False
    }


@pytest.mark.parametrize("path", ["pending-run", "available-run/1", "run/1/access-check"])
def test_a_head_claims_nothing(adapter: Adapter, queue: str, path: str) -> None:
    executor = adapter.executor(queue)
    run_id = adapter.web.create(queue, "refund")

    answer = executor.send("HEAD", f"{ROOT}/{path}")

    assert answer.status_code == 405
    assert adapter.web.run(run_id)["runState"] == "pending"


@pytest.mark.parametrize(
    "secret", ["", "0" * 64, "A" * 64, "dibs_0123456789abcdef_secret", "x", "0" * 63, "0" * 65]
)
def test_a_bad_secret_is_refused_in_their_form(adapter: Adapter, queue: str, secret: str) -> None:
    executor = adapter.executor(queue)

    answer = executor.send("GET", f"{ROOT}/pending-run", forest_secret_key=secret)

    assert told(answer) == (401, "unauthenticated")


def test_a_secret_is_good_at_the_adapter_alone_and_a_token_everywhere_else(
    adapter: Adapter, queue: str
) -> None:
    executor = adapter.executor(queue)
    key_id, secret = executor.secret[:16], executor.secret[16:]
    bearer = f"Bearer dibs_{key_id}_{secret}"
    native = f"Bearer {adapter.stage.tokens[Role.EXECUTOR]}"

    for credential in (bearer, f"Bearer {executor.secret}"):
        answer = adapter.web.send("GET", "/v1/whoami", headers={"Authorization": credential})
        assert answer.status_code == 401
    answer = adapter.web.send("GET", f"{ROOT}/pending-run", headers={"Authorization": native})
    assert told(answer) == (401, "unauthenticated")
    [mine] = adapter.owner.execute(
        'SELECT "keyId" FROM "accessTokens" WHERE role = %s AND name = %s', ["executor", "executor"]
    ).fetchall()
    answer = executor.send("GET", f"{ROOT}/pending-run", forest_secret_key=mine[0] + "0" * 48)
    assert told(answer) == (401, "unauthenticated")


def test_a_secret_that_is_revoked_is_refused_within_a_second(adapter: Adapter, queue: str) -> None:
    executor = adapter.executor(queue)
    adapter.web.create(queue, "refund")
    [run] = executor.poll()
    adapter.owner.execute(
        'UPDATE "accessTokens" SET "revokedAt" = clock_timestamp() WHERE name = %s',
        [executor.name],
    )

    eventually(
        lambda: executor.send("GET", f"{ROOT}/pending-run").status_code == 401,
        what="the secret is refused",
    )

    assert told(executor.log(run)) == (401, "unauthenticated")
    assert told(executor.tell(run)) == (401, "unauthenticated")


def test_a_drained_executor_gets_nothing(adapter: Adapter, queue: str) -> None:
    executor = adapter.executor(queue)
    number = numbered(adapter, queue)
    executor.start()
    adapter.ops.ask("POST", f"/v1/executors/{executor.name}/drain", {})

    assert executor.poll() == []
    assert executor.available(number) is None
    executor.start()
    assert executor.available(number) is not None


def numbered(adapter: Adapter, queue: str) -> int:
    """A pending run that has a number."""
    other = adapter.executor(queue)
    adapter.web.create(queue, "refund")
    [run] = other.poll()
    adapter.take_away(run)
    number: int = run["id"]
    return number


def may_look(executor: Forest, number: object, user_id: object) -> object:
    path = f"{ROOT}/run/{number}/access-check?userId={user_id}"
    return good(executor.send("GET", path))["hasAccess"]

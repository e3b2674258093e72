"""The adapter makes up what a collection looks like, of what its runs execute."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.client import Json
from tests.contract.adapter import GUIDANCE, ROOT, Adapter, Forest, good, run_id_of, told

READ = {"taskType": "get-data", "preRecordedArgs": {"fieldNames": ["total", "status"]}}
PAY = {"taskType": "update-data", "preRecordedArgs": {"fieldName": "total", "value": 7}}
ACT = {"taskType": "trigger-action", "preRecordedArgs": {"actionName": "Refund it"}}
ELSEWHERE = ACT | {"endpoint": "/forest/_actions/orders/0/refund"}


def polled(adapter: Adapter, queue: str, *params: Json, **members: Any) -> tuple[Forest, Json]:
    """A run with a step for each of these params, and the executor that holds it."""
    executor = adapter.executor(queue)
    steps = [
        {"name": f"s{place}", "type": f"t{place}", "params": each}
        for place, each in enumerate(params)
    ]
    adapter.define(f"w-{queue}", *steps)
    adapter.web.create(queue, f"w-{queue}", **members)
    [run] = executor.poll()
    return executor, run


def fields(schema: Json) -> Json:
    return {field["fieldName"]: field["type"] for field in schema["fields"]}


def endpoints(schema: Json) -> Json:
    return {action["name"]: action["endpoint"] for action in schema["actions"]}


def test_every_type_of_step_is_an_action(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue, {}, {})

    schema = good(executor.schema(run))

    assert schema["collectionName"] == schema["collectionId"] == f"w-{queue}.v1"
    assert schema["collectionDisplayName"]
    assert schema["primaryKeyFields"] == ["id"]
    assert fields(schema) == {"id": "String"}
    assert endpoints(schema) == {"t0": "/handlers/t0", "t1": "/handlers/t1"}
    for action in schema["actions"]:
        assert action["displayName"]
        # Without these it asks the agent for a form.
        assert (action["fields"], action["hooks"]) == ([], {"load": False, "change": []})


def test_a_workflow_without_a_definition_has_one(adapter: Adapter, queue: str) -> None:
    executor = adapter.executor(queue)
    adapter.web.create(queue, "charge-card")
    [run] = executor.poll()

    schema = good(executor.schema(run))

    assert schema["collectionName"] == "charge-card"
    assert endpoints(schema) == {"charge-card": "/handlers/charge-card"}


def test_what_steps_of_theirs_name_is_there(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue, GUIDANCE, READ, PAY, READ, ACT)

    schema = good(executor.schema(run))

    assert fields(schema) == {"id": "String", "total": "Number", "status": "String"}
    assert endpoints(schema) == {"Refund it": "/handlers/Refund%20it"}
    assert all(field["isRelationship"] is False for field in schema["fields"])


@pytest.mark.parametrize(
    ("value", "kind"), [(True, "Boolean"), (1, "Number"), (1.5, "Number"), ("x", "String"),
                        (None, "String"), ([1], "String")]
)  # fmt: skip
def test_a_field_is_of_the_kind_that_is_written(
    adapter: Adapter, queue: str, value: object, kind: str
) -> None:
    arguments = {"fieldName": "f", "value": value}
    executor, run = polled(
        adapter, queue, {"taskType": "update-data", "preRecordedArgs": arguments}
    )

    assert fields(good(executor.schema(run)))["f"] == kind


def test_an_action_of_theirs_may_say_where_it_is(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue, ELSEWHERE)

    assert endpoints(good(executor.schema(run))) == {
        "Refund it": "/forest/_actions/orders/0/refund"
    }


@pytest.mark.parametrize(
    "arguments",
    [None, [], "x", {"fieldNames": "total"}, {"fieldNames": [1, None, ""]}, {"fieldName": 7},
     {"actionName": 7}, {"actionName": ""}],
    ids=str,
)  # fmt: skip
def test_arguments_of_another_form_name_nothing(
    adapter: Adapter, queue: str, arguments: object
) -> None:
    step = {"taskType": "trigger-action", "preRecordedArgs": arguments, "endpoint": 7}
    executor, run = polled(adapter, queue, step)

    schema = good(executor.schema(run))

    assert (fields(schema), endpoints(schema)) == ({"id": "String"}, {})


def test_a_new_version_has_a_name_of_its_own(adapter: Adapter, queue: str) -> None:
    """A schema is kept for ten minutes under its name."""
    executor, run = polled(adapter, queue, {})
    adapter.define(f"w-{queue}", {"name": "s0", "type": "another"})
    adapter.web.create(queue, f"w-{queue}")

    [later] = executor.poll()

    assert [run["collectionName"], later["collectionName"]] == [f"w-{queue}.v1", f"w-{queue}.v2"]
    assert endpoints(good(executor.schema(run))) == {"t0": "/handlers/t0"}
    assert endpoints(good(executor.schema(later))) == {"another": "/handlers/another"}


def test_a_collection_that_inputs_name_has_what_every_workflow_needs_of_it(
    adapter: Adapter, queue: str
) -> None:
    adapter.define(f"x-{queue}", {"name": "ship", "type": "ship", "params": READ})
    adapter.define(f"y-{queue}", {"name": "send", "type": f"send-{queue}"})
    executor, run = polled(adapter, queue, PAY, input={"collectionName": f"orders-{queue}"})

    schema = good(executor.schema(run))

    assert schema["collectionName"] == f"orders-{queue}"
    assert fields(schema).items() >= {"total": "Number", "status": "String"}.items()
    assert f"send-{queue}" in endpoints(schema)


@pytest.mark.parametrize("name", ["sales/orders", "b\u00fccher & co", "50%", "a?b#c"])
def test_a_collection_may_have_any_name(adapter: Adapter, queue: str, name: str) -> None:
    executor, run = polled(adapter, queue, {}, input={"collectionName": name})

    schema = good(executor.schema(run, quote(name, safe="")))

    assert schema["collectionName"] == run["collectionName"] == name


def test_a_collection_that_is_not_the_runs_is_not_there(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue, {})
    stranger = adapter.executor(f"{queue}x")
    name = run["collectionName"]

    assert told(stranger.schema(run)) == (404, "not-found")
    assert told(executor.schema(run, "elsewhere")) == (404, "not-found")
    for number in ("", "0", "x", "1.0", str(2**60), "999999999"):
        answer = executor.send("GET", f"{ROOT}/collection-schema/{name}?runId={number}")
        assert told(answer) == (404, "not-found")
    assert told(executor.send("GET", f"{ROOT}/collection-schema/{name}")) == (404, "not-found")


def test_whoever_has_lost_the_run_may_look_and_keeps_nothing(adapter: Adapter, queue: str) -> None:
    executor, run = polled(adapter, queue, {})
    adapter.take_away(run)
    other = adapter.executor(queue)
    assert other.available(run["id"])

    assert executor.schema(run).is_success

    assert adapter.web.run(run_id_of(run))["runState"] == "loading"
    assert adapter.lease_seconds_left(run) <= 20

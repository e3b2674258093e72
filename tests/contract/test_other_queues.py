"""A token for some queues neither sees nor touches what else there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from uuid import uuid4

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json
from tests.acceptance.stage import Stage, make_token


@pytest.fixture
def narrow(stage: Stage, queue: str) -> Iterator[dict[Role, Client]]:
    """A viewer, an operator and a client of this queue alone."""
    with ExitStack() as clients:
        yield {
            role: clients.enter_context(
                closing(
                    Client(
                        stage.orchestrator.url,
                        make_token(stage.database, f"{role}-{queue}", role, (queue,)),
                    )
                )
            )
            for role in (Role.VIEWER, Role.OPERATOR, Role.CLIENT)
        }


@pytest.fixture
def secret(queue: str) -> str:
    """A queue of somebody else's."""
    return f"secret-{queue}"


def register(holder: Client, instance: str, queues: list[str], **members: object) -> str:
    body: Json = {"session": str(uuid4()), "queues": queues, **members}
    name: str = holder.ask("PUT", f"/v1/executors/{instance}", body)["name"]
    return name


def shown(client: Client, name: str) -> list[Json]:
    items = client.ask("GET", "/v1/executors")["items"]
    return [one for one in items if one["name"] == name]


def test_of_an_executor_that_serves_other_queues_too_they_are_not_told(
    holder: Client, ops: Client, narrow: dict[Role, Client], queue: str, secret: str
) -> None:
    name = register(holder, f"both-{queue}", [queue, secret])

    assert [one["queues"] for one in shown(narrow[Role.VIEWER], name)] == [[queue]]
    assert [one["queues"] for one in shown(ops, name)] == [[queue, secret]]


def test_only_who_has_all_its_queues_acts_on_an_executor(
    holder: Client, ops: Client, narrow: dict[Role, Client], queue: str, secret: str
) -> None:
    mine = register(holder, f"mine-{queue}", [queue])
    both = register(holder, f"both-{queue}", [queue, secret])
    theirs = register(holder, f"theirs-{queue}", [secret])
    bare = register(holder, f"bare-{queue}", [])

    answers = {
        name: narrow[Role.OPERATOR].send("POST", f"/v1/executors/{name}/quarantine", {})
        for name in (mine, both, theirs, bare)
    }

    assert [answer.status_code for answer in answers.values()] == [200, 403, 404, 403]
    assert secret not in answers[both].text
    states = [shown(ops, name)[0]["state"] for name in (mine, both, theirs, bare)]
    assert states == ["quarantined", "active", "active", "active"]


def test_what_runs_of_every_queue_follow_is_not_for_one_queues_operator_to_define(
    ops: Client, narrow: dict[Role, Client], queue: str
) -> None:
    path = f"/v1/workflows/of-{queue}"
    ops.ask("PUT", path, {"steps": [{"name": "pay", "type": "pay"}]})

    refused = narrow[Role.OPERATOR].send(
        "PUT", path, {"steps": [{"name": "pay", "type": "pay", "queue": queue}]}
    )

    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient-scope")
    assert ops.ask("GET", path)["version"] == 1


def test_an_executor_that_registers_is_bounded_from_then_on(
    holder: Client, web: Client, queue: str
) -> None:
    instance, session = f"late-{queue}", str(uuid4())
    web.create_many(queue, 9)
    before = holder.claim(queue, limit=1, session=session, executor=instance)
    holder.ask("PUT", f"/v1/executors/{instance}", {"session": session, "slots": 2})

    after = holder.claim(queue, limit=8, session=session, executor=instance)

    assert (len(before), len(after)) == (1, 3)


def explained(client: Client, run_id: str) -> Json:
    return client.ask("GET", f"/v1/runs/{run_id}/explain")


def open_gates(explanation: Json) -> dict[str, bool]:
    return {gate["gate"]: gate["open"] for gate in explanation["gates"]}


def of_a_step_queue(ops: Client, web: Client, queue: str, step_queue: str) -> str:
    """A run of one queue whose step is claimed from another."""
    workflow = f"{queue}-by-{step_queue}"
    step = {"name": "pay", "type": "pay", "queue": step_queue}
    ops.ask("PUT", f"/v1/workflows/{workflow}", {"steps": [step]})
    return web.create(queue, workflow)


def test_of_a_step_s_queue_that_is_another_s_only_the_gates_are_told(
    holder: Client, ops: Client, web: Client, narrow: dict[Role, Client], queue: str, secret: str
) -> None:
    before = web.create_many(secret, 2)
    run_id = of_a_step_queue(ops, web, queue, secret)
    busy, instance = str(uuid4()), f"hidden-{queue}"
    register(holder, instance, [secret], session=busy, slots=1)
    ops.ask("PUT", f"/v1/queues/{secret}", {"maxConcurrency": 1, "ratePerSecond": 1_000})
    assert len(holder.claim(secret, session=busy, executor=instance)) == 1
    ops.ask("POST", f"/v1/queues/{secret}/pause", {})

    all_told, told = (explained(who, run_id) for who in (ops, narrow[Role.VIEWER]))

    shut = {"queue-paused", "limit", "slots-busy", "position"}
    assert {gate for gate, is_open in open_gates(all_told).items() if not is_open} == shut
    assert open_gates(told) == open_gates(all_told)
    assert {gate["text"] for gate in told["gates"] if gate["gate"] != "due-time"} == {
        f"Queue {secret} is paused.",
        f"This token is not for queue {secret}: no more is told of it.",
    }
    assert instance in str(all_told)
    assert not [word for word in (instance, "operator", *before) if word in str(told)]


def test_who_holds_a_lease_is_told_to_whom_sees_its_run(
    holder: Client, ops: Client, web: Client, narrow: dict[Role, Client], queue: str, secret: str
) -> None:
    theirs = of_a_step_queue(ops, web, secret, queue)
    (taken,) = holder.claim(queue, executor=f"hidden-{queue}")
    ops.ask("PUT", f"/v1/queues/{queue}", {"maxConcurrency": 1})
    run_id = web.create(queue)

    all_told, told = (explained(who, run_id) for who in (ops, narrow[Role.VIEWER]))

    allows = f"Queue {queue} allows 1 lease at once, and 1 is held"
    assert taken["run"]["id"] == theirs
    assert all_told["text"].startswith(f"{allows} (executor:hidden-{queue}: 1).")
    assert told["text"].startswith(f"{allows}.")
    assert "hidden" not in str(told)


def test_an_executor_is_named_to_whom_may_list_executors(
    holder: Client, web: Client, narrow: dict[Role, Client], queue: str
) -> None:
    name = register(holder, f"mine-{queue}", [queue])
    run_id = web.create(queue)

    told = {role: str(explained(client, run_id)) for role, client in narrow.items()}

    assert {role for role, text in told.items() if name in text} == {Role.VIEWER, Role.OPERATOR}
    assert "1 executor serves" in told[Role.CLIENT]


def test_a_run_of_another_queue_has_no_explanation(
    web: Client, narrow: dict[Role, Client], secret: str
) -> None:
    run_id = web.create(secret)

    refused = narrow[Role.VIEWER].send("GET", f"/v1/runs/{run_id}/explain")

    assert (refused.status_code, refused.json()["code"]) == (404, "run-not-found")

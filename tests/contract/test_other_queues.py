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
    """A viewer and an operator of this queue alone."""
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
            for role in (Role.VIEWER, Role.OPERATOR)
        }


@pytest.fixture
def secret(queue: str) -> str:
    """A queue of somebody else's."""
    return f"secret-{queue}"


def register(holder: Client, instance: str, queues: list[str], **members: object) -> str:
    body = {"session": str(uuid4()), "queues": queues, **members}
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

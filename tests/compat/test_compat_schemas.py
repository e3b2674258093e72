"""What that executor keeps of a collection for ten minutes must do for all that it is given."""

from __future__ import annotations

from tests.acceptance.client import Client
from tests.compat.agent import Agent
from tests.compat.doubles import Doubles
from tests.compat.serving import MakeSecret, put
from tests.compat.workflows import native, read, write


def test_a_new_version_is_executed_by_whoever_has_just_executed_the_one_before(
    doubles: Doubles, secret_of: MakeSecret, agent: Agent, web: Client, ops: Client, queue: str
) -> None:
    doubles.start(secret_of("one"), poll_seconds=0.1)
    put(ops, queue, [native("charge", mutating=True)])
    web.wait_for(web.create(queue, queue), "finished")

    put(ops, queue, [native("charge", "mail", mutating=True), native("mail", mutating=True)])
    run = web.wait_for(web.create(queue, queue))

    assert run["runState"] == "finished"
    assert [call.path for call in agent.calls()] == [
        "/handlers/charge",
        "/handlers/charge",
        "/handlers/mail",
    ]


def test_two_workflows_about_one_collection_find_what_each_of_them_needs(
    doubles: Doubles, secret_of: MakeSecret, agent: Agent, web: Client, ops: Client, queue: str
) -> None:
    workflows = {
        f"{queue}-a": [read("look")],
        f"{queue}-b": [write("pay", "book"), native("book")],
    }
    for name, steps in workflows.items():
        put(ops, name, steps)
    doubles.start(secret_of("one"), poll_seconds=0.1)

    about = {"recordId": 7, "collectionName": "invoices"}
    runs = [web.wait_for(web.create(queue, name, input=about)) for name in workflows]

    assert [run["runState"] for run in runs] == ["finished", "finished"]
    assert [call.method for call in agent.calls()] == ["GET", "PUT", "POST"]

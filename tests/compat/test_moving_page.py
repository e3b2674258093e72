"""What the page on moving shows is so."""

from __future__ import annotations

import re
from pathlib import Path

import orjson

from tests.acceptance.client import Client
from tests.compat.agent import Agent
from tests.compat.doubles import Doubles
from tests.compat.serving import MakeSecret, put

PAGE = Path(__file__).parents[2] / "docs" / "moving.md"


def test_the_definition_on_the_page_is_executed_there_as_it_is(
    doubles: Doubles,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    queue: str,
) -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    put(ops, queue, orjson.loads(shown)["steps"])
    subject = {"recordId": 7, "collectionName": "orders", "userId": 42}
    run_id = web.create(queue, queue, input=subject)
    double = doubles.start(secret_of("one"), poll_seconds=0.1)

    web.wait_for(run_id, "waiting")
    chosen = double.trigger(run_id, {"selectedOption": "Yes"})
    run = web.wait_for(run_id)

    assert (chosen, run["runState"], run["stepName"]) == (200, "finished", "pay")
    look, act = agent.calls()
    assert (look.method, look.path) == ("GET", "/forest/orders/7")
    assert (act.path, act.body["data"]["attributes"]["ids"]) == (
        "/forest/_actions/orders/0/pay",
        ["7"],
    )
    assert act.key == f"{run_id}:2"


def test_a_native_step_reaches_its_handler_as_the_page_shows_it(
    doubles: Doubles,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    queue: str,
) -> None:
    run_id = web.create(queue, "charge-card")

    doubles.start(secret_of("one"), poll_seconds=0.1)
    run = web.wait_for(run_id)

    assert run["runState"] == "finished"
    (call,) = agent.calls()
    assert (call.method, call.path) == ("POST", "/handlers/charge-card")
    assert call.body["data"] == {
        "attributes": {
            "collection_name": "charge-card",
            "ids": [run_id],
            "values": {},
            "smart_action_id": "charge-card",
        },
        "type": "custom-action-requests",
    }
    assert (call.key, int(call.fence or 0)) == (f"{run_id}:0", run["fence"])

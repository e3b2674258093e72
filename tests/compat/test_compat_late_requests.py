"""What comes late: an executor's own requests must not free what it holds now."""

from __future__ import annotations

from contextlib import closing

import psycopg

from tests.acceptance.client import Client
from tests.acceptance.relay import Relay
from tests.acceptance.stage import Stage
from tests.acceptance.waiting import eventually
from tests.compat.agent import Agent
from tests.compat.doubles import Doubles
from tests.compat.serving import MakeSecret, age_lease, put
from tests.compat.workflows import read, write

METADATA = "/api/workflow-orchestrator/executor-metadata"
POLL = "/api/workflow-orchestrator/pending-run"
HELD = "before-agent@look"


def test_a_late_word_of_its_start_frees_nothing_that_it_has_got_since(
    doubles: Doubles,
    relay: Relay,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    queue: str,
) -> None:
    put(ops, queue, [read("look", "pay"), write("pay")])
    run_id = web.create(queue, queue)
    arrives = relay.hold_back_request(METADATA)
    double = doubles.start(
        secret_of("one"), poll_seconds=0.1, hold_at=[HELD], orchestrator_url=relay.url
    )
    double.wait_at(HELD)
    held = web.run(run_id)

    arrives.set()
    eventually(lambda: relay.requests(METADATA), what="it has arrived")
    after = web.run(run_id)
    double.open(HELD)
    run = web.wait_for(run_id)

    assert relay.requests(METADATA)[0].status == 204
    assert (after["runState"], after["fence"]) == (held["runState"], held["fence"])
    assert (run["runState"], run["attempt"]) == ("finished", 1)
    assert len(agent.writes(run_id)) == 1


def test_a_poll_that_was_given_up_and_arrives_late_frees_nothing_that_the_next_one_brought(
    doubles: Doubles,
    relay: Relay,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    queue: str,
) -> None:
    put(ops, queue, [read("look", "pay"), write("pay")])
    run_id = web.create(queue, queue)
    arrives = relay.hold_back_request(POLL)
    double = doubles.start(
        secret_of("one"),
        poll_seconds=0.1,
        client_timeout_seconds=2.0,
        hold_at=[HELD],
        orchestrator_url=relay.url,
    )
    double.wait_at(HELD)
    held = web.run(run_id)
    answered = len(relay.requests(POLL))

    arrives.set()
    eventually(lambda: len(relay.requests(POLL)) > answered, what="it has arrived")
    after = web.run(run_id)
    double.open(HELD)
    run = web.wait_for(run_id)

    assert double.asked(path=POLL)[0]["status"] is None
    assert (after["runState"], after["fence"]) == (held["runState"], held["fence"])
    assert (run["runState"], run["attempt"]) == ("finished", 1)
    assert len(agent.writes(run_id)) == 1


def test_a_poll_beside_a_chain_frees_nothing_of_which_a_step_was_reported(
    stage: Stage,
    doubles: Doubles,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    owner: psycopg.Connection,
    queue: str,
) -> None:
    put(ops, queue, [write("pay", "look"), read("look")])
    run_id = web.create(queue, queue)
    secret = secret_of("one")
    double = doubles.start(secret, poll_seconds=0.1, hold_at=[HELD])
    double.wait_at(HELD)
    age_lease(owner, run_id)

    # Nothing tells that it waits for more than what it was handed by the poll itself.
    with closing(stage.client()) as beside:
        polled = beside.send("GET", POLL, headers={"forest-secret-key": secret})
    after = web.run(run_id)
    double.open(HELD)
    run = web.wait_for(run_id)

    assert (polled.json(), after["runState"]) == ([], "started")
    assert (run["runState"], run["attempt"]) == ("finished", 1)


def test_runs_whose_poll_was_not_heard_are_given_again_to_the_next_poll(
    doubles: Doubles,
    relay: Relay,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    owner: psycopg.Connection,
    queue: str,
) -> None:
    put(ops, queue, [write("pay")])
    relay.lose_answers(POLL, 1)
    run_id = web.create(queue, queue)

    doubles.start(secret_of("one"), poll_seconds=0.1, orchestrator_url=relay.url)
    eventually(lambda: any(one.lost for one in relay.requests(POLL)))
    age_lease(owner, run_id)
    run = web.wait_for(run_id)

    assert (run["runState"], run["attempt"]) == ("finished", 2)
    assert len(agent.writes(run_id)) == 1

"""Several executors, each under a secret of its own; and two that should not share one."""

from __future__ import annotations

import psycopg
import pytest

from tests.acceptance.client import Client
from tests.acceptance.processes import Orchestrator
from tests.acceptance.waiting import eventually
from tests.compat.agent import Agent
from tests.compat.doubles import Doubles
from tests.compat.serving import MakeSecret, age_lease, number_of, put
from tests.compat.workflows import action, read

RUNS = 200
POLL = "/api/workflow-orchestrator/pending-run"
POLL_SECONDS = 0.05
WITHIN_SECONDS = 240


@pytest.mark.long
@pytest.mark.timeout(WITHIN_SECONDS + 60)
def test_200_runs_of_two_steps_polled_by_two_executors_are_200_writes(
    doubles: Doubles,
    second: Orchestrator,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    queue: str,
) -> None:
    put(ops, queue, [read("look", "act"), action("act")])
    run_ids = web.create_many(queue, RUNS, queue)

    for name, url in (("one", doubles.orchestrator_url), ("other", second.url)):
        doubles.start(secret_of(name), poll_seconds=POLL_SECONDS, orchestrator_url=url)
    eventually(lambda: web.count(queue, "finished") == RUNS, within_seconds=WITHIN_SECONDS)

    assert {run["attempt"] for run in web.runs(queue, "finished")} == {1}
    assert len(agent.writes()) == RUNS
    assert {call.run_id for call in agent.writes()} == set(run_ids)
    assert all(len(double.reports()) > 0 for double in doubles.started)


def test_a_second_address_under_one_secret_is_given_nothing_and_frees_nothing(
    doubles: Doubles,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    owner: psycopg.Connection,
    queue: str,
) -> None:
    put(ops, queue, [read("look", "act"), action("act")])
    secret = secret_of("one")
    held = web.create(queue, queue)
    first = doubles.start(secret, poll_seconds=0.1, hold_at=["before-agent@look"])
    first.wait_at("before-agent@look")
    age_lease(owner, held)

    intruder = doubles.start(secret, poll_seconds=0.1, source_host="127.0.0.2")
    pending = web.create(queue, queue)
    intruder.wait_for_answers(POLL, 3)
    refused = intruder.trigger(number_of(owner, held))
    first.open("before-agent@look")
    runs = [web.wait_for(run_id) for run_id in (held, pending)]

    assert refused == 404
    assert {poll["answer"] for poll in intruder.asked(path=POLL)} == {"[]"}
    assert intruder.reports() == []
    assert [(run["runState"], run["attempt"]) for run in runs] == [("finished", 1)] * 2
    assert sorted(agent.writes_by_key().values()) == [1, 1]

"""Somebody who triggers a run that is not his: that executor looks only when it has taken it."""

from __future__ import annotations

import psycopg

from tests.acceptance.client import Client
from tests.compat.agent import Agent
from tests.compat.doubles import USER_ID, Doubles
from tests.compat.serving import MakeSecret, age_lease, number_of, put
from tests.compat.workflows import guidance, write

MORE_OFTEN_THAN_A_RUN_MAY_CRASH = 4


def test_strangers_triggers_cost_a_run_none_of_its_budgets(
    doubles: Doubles,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    owner: psycopg.Connection,
    queue: str,
) -> None:
    put(ops, queue, [guidance("ask", "pay"), write("pay")])
    run_id = web.create(queue, queue)
    double = doubles.start(secret_of("one"), poll_seconds=0.1)
    web.wait_for(run_id, "waiting")
    number = number_of(owner, run_id)

    answers = []
    with double.user(USER_ID + 1) as stranger:
        for _ in range(MORE_OFTEN_THAN_A_RUN_MAY_CRASH):
            answers.append(stranger.trigger(str(number), {"pendingData": {}}).status_code)
            age_lease(owner, run_id)
            web.wait_for(run_id, "waiting")
    asked_again = web.run(run_id)
    obeyed = double.trigger(number, {"userInput": "go"})
    run = web.wait_for(run_id)

    assert answers == [403] * MORE_OFTEN_THAN_A_RUN_MAY_CRASH
    assert (asked_again["crashes"], asked_again["failures"]) == (0, 0)
    assert (obeyed, run["runState"]) == (200, "finished")
    assert len(agent.writes(run_id)) == 1

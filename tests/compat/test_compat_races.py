"""Triggers at the same moment: whoever asks, and however often, a step is executed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.client import Client
from tests.acceptance.processes import Orchestrator
from tests.acceptance.racing import at_once
from tests.compat.agent import Agent
from tests.compat.conftest import MakeSecret
from tests.compat.doubles import Double, Doubles, Json
from tests.compat.serving import number_of, put
from tests.compat.workflows import Step, confirmed_write, guidance, write

ROUNDS = 20
LATENCY_SECONDS = 0.05

Sides = Callable[[Double, Double], tuple[Double, Double]]


def two_executors(one: Double, other: Double) -> tuple[Double, Double]:
    return one, other


def one_executor_twice(one: Double, _: Double) -> tuple[Double, Double]:
    return one, one


@pytest.mark.parametrize(
    ("steps", "given", "sides"),
    [
        pytest.param(
            [guidance("ask", "pay"), write("pay")],
            {"userInput": "go"},
            two_executors,
            id="two-executors-triggered-at-once",
        ),
        pytest.param(
            [guidance("ask", "pay"), write("pay")],
            {"userInput": "go"},
            one_executor_twice,
            id="one-executor-triggered-twice",
        ),
        pytest.param(
            [confirmed_write("pay")],
            {"userConfirmed": True},
            two_executors,
            id="confirmed-on-both",
        ),
    ],
)
def test_of_two_triggers_at_once_one_executes_and_the_other_finds_nothing_each_round(
    steps: list[Step],
    given: Json,
    sides: Sides,
    doubles: Doubles,
    second: Orchestrator,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    owner: psycopg.Connection,
    queue: str,
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    put(ops, queue, steps)
    run_ids = web.create_many(queue, ROUNDS, queue)
    # Whoever polls first asks for all inputs; then both only answer triggers.
    asking = doubles.start(secret_of("asks"), poll_seconds=0.05, store=str(store))
    for run_id in run_ids:
        web.wait_for(run_id, "waiting")
    asking.end()
    pair = [
        doubles.start(secret_of(name), latency_seconds=LATENCY_SECONDS, store=str(store), **found)
        for name, found in (("one", {}), ("other", {"orchestrator_url": second.url}))
    ]
    chosen = sides(*pair)

    answers = []
    for run_id in run_ids:
        number = number_of(owner, run_id)
        answers.append(at_once([partial(each.trigger, number, given) for each in chosen]))
        web.wait_for(run_id, "finished")

    assert [sorted(statuses) for statuses in answers] == [[200, 404]] * ROUNDS
    assert agent.writes_by_key() == {call.key: 1 for call in agent.writes()}
    assert [len(agent.writes(run_id)) for run_id in run_ids] == [1] * ROUNDS
    successes = [
        (report["body"]["runId"], report["body"]["stepUpdate"]["stepIndex"])
        for double in pair
        for report in double.reports()
        if report["body"]["executionStatus"]["type"] == "success"
    ]
    assert len(successes) == len(set(successes)) == ROUNDS * len(steps)

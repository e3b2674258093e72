"""Triggers at the same moment: whoever asks, and however often, a step is executed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.client import Client
from tests.acceptance.processes import Orchestrator
from tests.acceptance.racing import at_once
from tests.acceptance.waiting import eventually
from tests.compat.agent import Agent
from tests.compat.doubles import Double, Doubles, Json
from tests.compat.serving import MakeSecret, number_of, put
from tests.compat.workflows import Step, confirmed_write, guidance, write

ROUNDS = 20
LATENCY_SECONDS = 0.05

Sides = Callable[[Double, Double], tuple[Double, Double]]


def two_executors(one: Double, other: Double) -> tuple[Double, Double]:
    return one, other


def one_executor_twice(one: Double, _: Double) -> tuple[Double, Double]:
    return one, one


@pytest.fixture
def store(tmp_path: Path) -> str:
    """What executors that answer the same users share."""
    directory = tmp_path / "store"
    directory.mkdir()
    return str(directory)


@pytest.fixture
def pair(
    doubles: Doubles, second: Orchestrator, secret_of: MakeSecret, store: str
) -> tuple[Double, Double]:
    """Two that do not poll, each with an orchestrator of its own, both far away."""
    far = {"latency_seconds": LATENCY_SECONDS, "store": store}
    return (
        doubles.start(secret_of("one"), **far),
        doubles.start(secret_of("other"), orchestrator_url=second.url, **far),
    )


def successes(doubles: Iterable[Double], count: int) -> list[tuple[int, int]]:
    """The steps of which a success was reported, as often as it was; so many at least."""
    return eventually(
        lambda: found if len(found := _successes(doubles)) >= count else None,
        what=f"{count} reports of success",
    )


def _successes(doubles: Iterable[Double]) -> list[tuple[int, int]]:
    return [
        (report["body"]["runId"], report["body"]["stepUpdate"]["stepIndex"])
        for double in doubles
        for report in double.reports()
        if report["body"]["executionStatus"]["type"] == "success"
    ]


@pytest.mark.parametrize("sides", [two_executors, one_executor_twice])
def test_of_two_triggers_of_a_pending_run_at_once_one_executes_it_each_round(
    sides: Sides, pair: tuple[Double, Double], agent: Agent, web: Client, ops: Client, queue: str
) -> None:
    put(ops, queue, [write("pay")])
    run_ids = web.create_many(queue, ROUNDS, queue)

    # Nobody has been handed them, so they have no numbers yet.
    answers = [
        at_once([partial(each.trigger, run_id) for each in sides(*pair)]) for run_id in run_ids
    ]

    for run_id in run_ids:
        web.wait_for(run_id, "finished")
    assert [sorted(statuses) for statuses in answers] == [[200, 404]] * ROUNDS
    assert [len(agent.writes(run_id)) for run_id in run_ids] == [1] * ROUNDS
    reported = successes(pair, ROUNDS)
    assert len(reported) == len(set(reported)) == ROUNDS


@pytest.mark.parametrize(
    ("steps", "given"),
    [
        pytest.param([guidance("ask", "pay"), write("pay")], {"userInput": "go"}, id="told"),
        pytest.param([confirmed_write("pay")], {"userConfirmed": True}, id="confirmed"),
    ],
)
def test_of_two_users_who_let_a_waiting_run_go_on_at_once_one_is_obeyed_each_round(
    steps: list[Step],
    given: Json,
    pair: tuple[Double, Double],
    store: str,
    doubles: Doubles,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    owner: psycopg.Connection,
    queue: str,
) -> None:
    put(ops, queue, steps)
    run_ids = web.create_many(queue, ROUNDS, queue)
    asking = doubles.start(secret_of("asks"), poll_seconds=0.05, store=store)
    for run_id in run_ids:
        web.wait_for(run_id, "waiting")
    asking.end()

    answers = []
    for run_id in run_ids:
        number = number_of(owner, run_id)
        answers.append(at_once([partial(each.trigger, number, given) for each in pair]))

    for run_id in run_ids:
        web.wait_for(run_id, "finished")
    assert [sorted(statuses) for statuses in answers] == [[200, 404]] * ROUNDS
    assert [len(agent.writes(run_id)) for run_id in run_ids] == [1] * ROUNDS
    reported = successes(pair, ROUNDS * len(steps))
    assert len(reported) == len(set(reported)) == ROUNDS * len(steps)

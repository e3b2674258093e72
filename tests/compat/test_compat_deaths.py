"""An executor that dies: what it held goes on, and what may have been done is asked about."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.client import Client
from tests.acceptance.waiting import eventually
from tests.compat.agent import Agent
from tests.compat.double.journal import REACHED
from tests.compat.doubles import Doubles
from tests.compat.serving import MakeSecret, age_lease, number_of, put
from tests.compat.workflows import Step, native, read, write

POLL_SECONDS = 0.2
WITHIN_SECONDS = 5.0
YOUNG_SECONDS = 25.0


def test_killed_outside_a_mutating_step_its_run_is_finished_soon_after_its_restart(
    doubles: Doubles,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    owner: psycopg.Connection,
    queue: str,
) -> None:
    put(ops, queue, [read("look", "pay"), write("pay")])
    run_id = web.create(queue, queue)
    held = "before-agent@look"
    double = doubles.start(secret_of("one"), poll_seconds=POLL_SECONDS, hold_at=[held])
    double.wait_at(held)

    double.kill()
    age_lease(owner, run_id)
    double.open(held)
    double.start()
    restarted_at = time.monotonic()
    run = web.wait_for(run_id)

    assert time.monotonic() - restarted_at < WITHIN_SECONDS
    assert (run["runState"], run["attempt"]) == ("finished", 2)
    assert len(agent.writes(run_id)) == 1


@pytest.mark.parametrize("step", [write("pay"), native("pay", mutating=False)])
def test_killed_inside_a_write_its_run_is_parked_until_an_operator_says_run_again(
    step: Step,
    doubles: Doubles,
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
    put(ops, queue, [step])
    run_id = web.create(queue, queue)
    double = doubles.start(
        # What outlives it says that the step was cut off, under the index that it had.
        secret_of("one"),
        poll_seconds=POLL_SECONDS,
        hold_at=["before-agent"],
        store=str(store),
    )
    at = double.wait_at("before-agent")

    double.kill()
    age_lease(owner, run_id)
    double.open("before-agent")
    double.start()
    parked = web.wait_for(run_id, "waiting")
    refused = double.trigger(number_of(owner, run_id), {})
    writes_while_parked = agent.writes()
    told_at = time.monotonic()
    ops.ask("POST", f"/v1/runs/{run_id}/resolve", {"as": "run-again"})
    run = web.wait_for(run_id)

    assert time.monotonic() - told_at < WITHIN_SECONDS
    assert parked["waitingFor"]["reason"] == "outcome-unknown"
    assert (refused, writes_while_parked) == (404, [])
    assert run["runState"] == "finished"
    (report,) = double.wait_for_reports(1)
    assert report["body"]["stepUpdate"]["stepIndex"] > at["step"]
    assert len(agent.writes(run_id)) == 1


def test_terminated_in_mid_chain_its_run_is_finished_soon_after_its_restart(
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
    held = "before-report@pay"
    double = doubles.start(secret_of("one"), poll_seconds=POLL_SECONDS, hold_at=[held])
    double.wait_at(held)

    double.ask_to_end()
    double.open(held)
    ended = double.wait_for_exit()
    dropped = web.run(run_id)
    age_lease(owner, run_id)
    double.start()
    restarted_at = time.monotonic()
    run = web.wait_for(run_id)

    assert time.monotonic() - restarted_at < WITHIN_SECONDS
    assert (ended, dropped["stepName"], run["runState"]) == (0, "look", "finished")
    assert len(agent.writes(run_id)) == 1


def test_what_another_secret_holds_is_left_alone_by_a_restart(
    doubles: Doubles,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    owner: psycopg.Connection,
    queue: str,
) -> None:
    put(ops, queue, [read("look")])
    run_id = web.create(queue, queue)
    holder = doubles.start(secret_of("one"), poll_seconds=0.1, hold_at=["before-agent"])
    holder.wait_at("before-agent")
    age_lease(owner, run_id)

    other = doubles.start(secret_of("other"), poll_seconds=0.1)
    polls = "/api/workflow-orchestrator/pending-run"
    other.wait_for_answers(polls, 2)
    holder.open("before-agent")
    run = web.wait_for(run_id)

    assert (run["runState"], run["attempt"]) == ("finished", 1)
    assert [poll["answer"] for poll in other.asked(path=polls)[:2]] == ["[]", "[]"]
    assert len(agent.calls()) == 1


@pytest.mark.long
def test_killed_soon_after_it_got_its_runs_they_go_on_or_are_parked_by_themselves_all_the_same(
    doubles: Doubles,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    queue: str,
) -> None:
    put(ops, f"{queue}-reads", [read("look")])
    put(ops, f"{queue}-writes", [write("pay")])
    reads, writes = [web.create(queue, f"{queue}-{kind}") for kind in ("reads", "writes")]
    double = doubles.start(secret_of("one"), poll_seconds=POLL_SECONDS, hold_at=["before-agent"])
    eventually(lambda: len(double.said(REACHED)) == 2, what="both are about to act")

    double.kill()
    double.open("before-agent")
    double.start()
    restarted_at = time.monotonic()
    finished = web.wait_for(reads)
    parked = web.wait_for(writes, "waiting")

    # No word of the start may be believed at once about leases so young, but the polls are.
    assert time.monotonic() - restarted_at < YOUNG_SECONDS
    assert finished["runState"] == "finished"
    assert parked["waitingFor"]["reason"] == "outcome-unknown"
    assert [call.run_id for call in agent.calls()] == [reads]

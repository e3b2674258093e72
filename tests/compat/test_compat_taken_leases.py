"""A lease that is taken away: its holder writes nothing more, and its late report is refused."""

from __future__ import annotations

import psycopg
import pytest

from tests.acceptance.client import Client
from tests.acceptance.processes import Orchestrator
from tests.acceptance.relay import Relay
from tests.acceptance.waiting import eventually
from tests.compat.agent import Agent
from tests.compat.double.chain import CHAIN_ENDED
from tests.compat.doubles import Double, Doubles
from tests.compat.serving import MakeSecret, age_lease, number_of, put, take_lease
from tests.compat.workflows import Step, native, read, write

LOG = "/api/activity-logs-requests"
UPDATE = "/api/workflow-orchestrator/update-step"


def ended(double: Double) -> None:
    eventually(lambda: double.said(CHAIN_ENDED), what="its report is refused")


def statuses(double: Double, path: str) -> list[int | None]:
    return [one["status"] for one in double.asked(path=path)]


def test_taken_before_the_write_there_is_one_write_by_who_has_the_run_now(
    doubles: Doubles,
    second: Orchestrator,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    owner: psycopg.Connection,
    queue: str,
) -> None:
    put(ops, queue, [write("pay")])
    run_id = web.create(queue, queue)
    stale = doubles.start(secret_of("stale"), poll_seconds=0.1, hold_at=["before-activity"])
    stale.wait_at("before-activity")

    take_lease(owner, run_id)
    holder = doubles.start(
        secret_of("next"),
        poll_seconds=0.1,
        hold_at=["before-activity"],
        orchestrator_url=second.url,
    )
    holder.wait_at("before-activity")
    before = web.events(run_id)
    stale.open("before-activity")
    ended(stale)
    after = web.events(run_id)
    holder.open("before-activity")
    run = web.wait_for(run_id)

    assert statuses(stale, LOG) == [403]
    assert statuses(stale, UPDATE) == [409]
    assert after == before
    assert (run["runState"], run["attempt"]) == ("finished", 2)
    assert len(agent.writes(run_id)) == 1


def test_an_older_process_under_the_same_secret_does_not_write_beside_the_one_that_replaced_it(
    doubles: Doubles,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    owner: psycopg.Connection,
    queue: str,
) -> None:
    put(ops, queue, [write("pay")])
    run_id = web.create(queue, queue)
    secret = secret_of("one")
    older = doubles.start(secret, poll_seconds=0.1, hold_at=["before-activity"])
    older.wait_at("before-activity")
    age_lease(owner, run_id)

    newer = doubles.start(secret, poll_seconds=0.1, hold_at=["before-agent"])
    newer.wait_at("before-agent")
    older.open("before-activity")
    ended(older)
    newer.open("before-agent")
    run = web.wait_for(run_id)

    assert statuses(older, LOG) == [403]
    assert statuses(older, UPDATE) == [409]
    assert statuses(newer, LOG)[0] == 200
    assert run["runState"] == "finished"
    assert len(agent.writes(run_id)) == 1


def test_taken_during_a_read_both_read_with_one_key_and_two_fences(
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
    let_go = agent.hold_back_answer()
    stale = doubles.start(secret_of("stale"), poll_seconds=0.1)
    agent.wait_for_calls(run_id)

    take_lease(owner, run_id)
    doubles.start(secret_of("next"), poll_seconds=0.1)
    run = web.wait_for(run_id)
    before = web.events(run_id)
    let_go.set()
    ended(stale)

    assert (run["runState"], run["attempt"]) == ("finished", 2)
    first, last = agent.calls()
    assert first.key == last.key == f"{run_id}:0"
    assert int(first.fence or 0) < int(last.fence or 0)
    assert statuses(stale, UPDATE) == [409]
    assert web.events(run_id) == before


@pytest.mark.parametrize("step", [write("pay"), native("pay", mutating=False)])
def test_taken_during_a_write_the_run_is_parked_and_written_again_only_under_another_key(
    step: Step,
    doubles: Doubles,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    owner: psycopg.Connection,
    queue: str,
) -> None:
    put(ops, queue, [step])
    run_id = web.create(queue, queue)
    let_go = agent.hold_back_answer()
    stale = doubles.start(secret_of("stale"), poll_seconds=0.1)
    agent.wait_for_calls(run_id)

    take_lease(owner, run_id)
    parked = web.wait_for(run_id, "waiting")
    let_go.set()
    ended(stale)
    refused = stale.trigger(number_of(owner, run_id))
    writes_while_parked = len(agent.writes(run_id))
    ops.ask("POST", f"/v1/runs/{run_id}/resolve", {"as": "run-again"})
    run = web.wait_for(run_id)

    assert parked["waitingFor"]["reason"] == "outcome-unknown"
    assert (refused, writes_while_parked) == (404, 1)
    assert (statuses(stale, UPDATE)[0], run["runState"]) == (409, "finished")
    first, again = agent.writes(run_id)
    assert first.key != again.key
    assert int(first.fence or 0) < int(again.fence or 0)


@pytest.mark.parametrize("times", [1, 3])
def test_a_report_whose_answer_was_lost_is_replayed_and_the_next_step_follows(
    times: int,
    doubles: Doubles,
    relay: Relay,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    queue: str,
) -> None:
    put(ops, queue, [write("pay", "book"), write("book", "look"), read("look")])
    run_id = web.create(queue, queue)
    relay.lose_answers(UPDATE, times, instead=503)

    double = doubles.start(secret_of("one"), poll_seconds=0.1, orchestrator_url=relay.url)
    run = web.wait_for(run_id)

    assert (run["runState"], run["attempt"]) == ("finished", 1)
    reports = double.wait_for_reports(times + 3)
    repeated = [report["body"] for report in reports[: times + 1]]
    assert repeated == [repeated[0]] * (times + 1)
    assert statuses(double, UPDATE) == [503] * times + [200, 200, 200]
    assert web.kinds(run_id).count("reported") == 3
    assert sorted(agent.writes_by_key().values()) == [1, 1]


def test_the_last_report_whose_answer_was_lost_is_answered_again_when_the_run_is_over(
    doubles: Doubles,
    relay: Relay,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    queue: str,
) -> None:
    put(ops, queue, [write("pay")])
    run_id = web.create(queue, queue)
    relay.lose_answers(UPDATE, 2, instead=503)

    double = doubles.start(secret_of("one"), poll_seconds=0.1, orchestrator_url=relay.url)
    reports = double.wait_for_reports(3)

    assert [report["status"] for report in reports] == [503, 503, 200]
    assert reports[-1]["answer"] == "null"
    assert web.run(run_id)["runState"] == "finished"
    assert web.kinds(run_id).count("reported") == len(agent.writes(run_id)) == 1

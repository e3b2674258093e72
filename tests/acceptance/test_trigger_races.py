"""Whoever triggers a run, however often and wherever: it is executed once."""

import http.client
import json
from collections import Counter
from contextlib import ExitStack, closing
from functools import partial
from urllib.parse import urlsplit

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.journal import Gates, Journal
from tests.acceptance.racing import at_once, race
from tests.acceptance.stage import Fleet

SIDES = 64
ROUNDS = 200
REFUSED = {400, 404, 409, 410}


def test_64_threads_trigger_a_pending_run_on_two_executors_and_it_is_executed_once_each_round(
    fleet: Fleet, web: Client, queue: str, journal: Journal
) -> None:
    executors = [fleet.start_idle(name, slots=SIDES) for name in ("one", "two")]
    run_ids = web.create_many(queue, ROUNDS)
    headers = {
        "Authorization": f"Bearer {fleet.stage.tokens[Role.CLIENT]}",
        "Content-Type": "application/json",
    }

    def trigger(connection: http.client.HTTPConnection, number: int) -> int:
        # The plainest client there is: 12,800 requests must not take long.
        connection.request("POST", f"/runs/{run_ids[number]}/trigger", b"{}", headers)
        with connection.getresponse() as answer:
            answer.read()
            return answer.status

    with ExitStack() as connections:
        sides = [
            partial(
                trigger,
                connections.enter_context(
                    closing(http.client.HTTPConnection(urlsplit(executors[side % 2].url).netloc))
                ),
            )
            for side in range(SIDES)
        ]
        rounds = race(sides, rounds=ROUNDS)

    assert [statuses.count(200) for statuses in rounds] == [1] * ROUNDS
    assert {status for statuses in rounds for status in statuses} <= {200, *REFUSED}
    for run_id in run_ids:
        run = web.wait_for(run_id)
        assert (run["runState"], run["attempt"]) == ("finished", 1)
    assert journal.executions() == dict.fromkeys(run_ids, 1)


@pytest.mark.fault("F7")
def test_a_started_run_triggered_64_times_at_once_is_executed_by_its_holder_alone(
    fleet: Fleet, web: Client, queue: str, journal: Journal, gates: Gates
) -> None:
    holder, *others = [fleet.start_idle(name, slots=SIDES) for name in ("one", "two", "three")]
    run_id = web.create(queue, "hold", input={"gate": "gate"})
    assert holder.caller().trigger(run_id).is_success
    journal.wait_for(run_id)
    web.wait_for(run_id, "started")
    callers = [
        executor.caller()
        for executor in (holder, *others)
        for _ in range(SIDES // 3 + (executor is holder))
    ]

    answers = at_once([partial(caller.trigger, run_id) for caller in callers])

    told = [(answer.status_code, answer.json()["code"]) for answer in answers]
    here = sum(1 for caller in callers if caller.url == holder.url)
    assert len(answers) == SIDES
    assert set(told[:here]) == {(400, "run_already_in_flight")}
    # Of several at once on another executor the first asks, and the others find its reservation.
    assert set(told[here:]) <= {(409, "run_held"), (400, "run_already_in_flight")}
    held = [answer for answer in answers if answer.status_code == 409]
    assert len(held) >= len(others)
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in held)
    gates.open("gate")
    run = web.wait_for(run_id)
    assert (run["runState"], run["attempt"], run["output"]) == ("finished", 1, {"by": "one"})
    assert journal.executions() == {run_id: 1}


def test_a_waiting_run_resumed_64_times_at_once_is_executed_once_with_the_winners_input(
    fleet: Fleet, web: Client, queue: str, journal: Journal
) -> None:
    executors = [fleet.start_idle(name, slots=SIDES) for name in ("one", "two", "three", "four")]
    run_id = web.create(queue, "ask")
    assert executors[0].caller().trigger(run_id).is_success
    web.wait_for(run_id, "waiting")
    callers = [executors[side % len(executors)].caller() for side in range(SIDES)]

    answers = at_once(
        [
            partial(caller.trigger, run_id, {"pendingData": {"side": side}})
            for side, caller in enumerate(callers)
        ]
    )

    counted = Counter(answer.status_code for answer in answers)
    assert counted[200] == 1, counted
    assert counted.keys() <= {200, *REFUSED}
    winner = next(side for side, answer in enumerate(answers) if answer.is_success)
    run = web.wait_for(run_id)
    assert (run["runState"], run["output"]) == ("finished", {"got": {"side": winner}})
    assert journal.executions() == {run_id: 1}
    assert web.kinds(run_id).count("resumed") == 1


def test_a_trigger_of_another_caller_at_the_same_moment_is_told_so_too(
    fleet: Fleet, web: Client, ops: Client, queue: str, journal: Journal
) -> None:
    executor = fleet.start_idle("one", slots=50)
    callers = [executor.caller(), executor.caller(fleet.stage.tokens[Role.OPERATOR])]
    run_ids = web.create_many(queue, 20)

    for run_id in run_ids:
        answers = at_once([partial(caller.trigger, run_id) for caller in callers])

        statuses = sorted(answer.status_code for answer in answers)
        assert statuses[0] == 200
        assert statuses[1] in REFUSED
    for run_id in run_ids:
        web.wait_for(run_id, "finished")
    assert journal.executions() == dict.fromkeys(run_ids, 1)


def test_the_refusal_is_json_with_an_error_and_a_code(
    fleet: Fleet, web: Client, queue: str, gates: Gates
) -> None:
    executor = fleet.start_idle("one")
    caller = executor.caller()
    run_id = web.create(queue, "hold", input={"gate": "gate"})
    caller.trigger(run_id)

    refused = caller.trigger(run_id)

    assert refused.headers["Content-Type"] == "application/json"
    assert json.loads(refused.text) == {
        "error": f"Run {run_id} is already in flight on this executor.",
        "code": "run_already_in_flight",
    }
    gates.open("gate")
    web.wait_for(run_id, "finished")

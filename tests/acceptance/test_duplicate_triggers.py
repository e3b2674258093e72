"""A run in flight on an executor is not triggered there again."""

from functools import partial

import pytest

from tests.acceptance.client import Client
from tests.acceptance.journal import Gates, Journal
from tests.acceptance.racing import at_once
from tests.acceptance.relay import Relay
from tests.acceptance.stage import Fleet

# What the executor sends by itself, however often it is triggered.
BY_ITSELF = ("/v1/claims", "/v1/leases/renew")


def calls(relay: Relay) -> list[str]:
    """The requests that were not the executor's own idea."""
    return [one.path for one in relay.requests() if one.path not in BY_ITSELF]


@pytest.mark.parametrize("status", [400, 409])
def test_a_duplicate_trigger_of_a_run_in_flight_is_refused_and_costs_no_call(
    fleet: Fleet,
    relay: Relay,
    web: Client,
    queue: str,
    journal: Journal,
    gates: Gates,
    status: int,
) -> None:
    executor = fleet.start_idle(
        "one", url=relay.url, lease_seconds=30, EXECUTOR_IN_FLIGHT_STATUS=str(status)
    )
    caller = executor.caller()
    run_id = web.create(queue, "hold", input={"gate": "gate"})
    assert caller.trigger(run_id).json() == {"triggered": True}
    journal.wait_for(run_id)
    before = calls(relay)

    refused = [caller.trigger(run_id) for _ in range(5)]

    assert [answer.status_code for answer in refused] == [status] * 5
    assert {answer.json()["code"] for answer in refused} == {"run_already_in_flight"}
    assert calls(relay) == before
    gates.open("gate")
    assert web.wait_for(run_id)["runState"] == "finished"
    assert journal.executions() == {run_id: 1}


def test_of_two_triggers_at_once_on_one_executor_one_gets_the_run(
    fleet: Fleet, web: Client, queue: str, journal: Journal, gates: Gates
) -> None:
    executor = fleet.start_idle("one", slots=50)
    callers = [executor.caller(), executor.caller()]
    run_ids = web.create_many(queue, 20, "hold", input={"gate": "gate"})

    for run_id in run_ids:
        answers = at_once([partial(caller.trigger, run_id) for caller in callers])

        assert sorted(answer.status_code for answer in answers) == [200, 400]
        (refused,) = [answer for answer in answers if answer.status_code == 400]
        assert refused.json()["code"] == "run_already_in_flight"
    gates.open("gate")
    for run_id in run_ids:
        assert web.wait_for(run_id)["attempt"] == 1
    assert journal.executions() == dict.fromkeys(run_ids, 1)

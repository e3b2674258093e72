"""What a handler says of its step becomes of its run."""

from datetime import datetime, timedelta

from tests.acceptance.client import Client
from tests.acceptance.journal import Journal
from tests.acceptance.stage import Fleet


def test_a_run_that_awaits_input_goes_on_when_it_is_triggered_with_it(
    fleet: Fleet, web: Client, queue: str, journal: Journal
) -> None:
    executor = fleet.start("one")
    run_id = web.create(queue, "ask", input={"first": True})
    waiting = web.wait_for(run_id, "waiting")
    caller = executor.caller()

    without = caller.trigger(run_id)
    triggered = caller.trigger(run_id, {"pendingData": {"answer": 42}})

    assert waiting["waitingFor"] == {"reason": "input", "schema": {"type": "object"}}
    assert (without.status_code, without.json()["code"]) == (404, "run_not_claimable")
    assert triggered.json() == {"triggered": True}
    run = web.wait_for(run_id)
    assert (run["runState"], run["output"]) == ("finished", {"got": {"answer": 42}})
    assert journal.executions() == {run_id: 1}


def test_a_resumed_run_is_polled_for_with_its_input(
    fleet: Fleet, web: Client, queue: str, journal: Journal
) -> None:
    fleet.start("one")
    run_id = web.create(queue, "ask")
    web.wait_for(run_id, "waiting")

    web.ask("POST", f"/v1/runs/{run_id}/resume", {"input": {"answer": 43}})

    run = web.wait_for(run_id)
    assert (run["runState"], run["output"]) == ("finished", {"got": {"answer": 43}})
    assert journal.executions() == {run_id: 1}


def test_a_step_that_wants_to_be_run_later_is_claimed_again_when_it_is_due(
    fleet: Fleet, web: Client, queue: str, journal: Journal
) -> None:
    fleet.start("one")
    run_id = web.create(queue, "later")

    run = web.wait_for(run_id)

    assert (run["runState"], run["attempt"], run["failures"]) == ("finished", 2, 0)
    events = web.events(run_id)
    scheduled = next(event for event in events if event["toState"] == "scheduled")
    claimed = [event for event in events if event["kind"] == "claimed"][-1]
    waited = datetime.fromisoformat(claimed["at"]) - datetime.fromisoformat(scheduled["at"])
    # The handler named a time one second after it began.
    assert timedelta(seconds=0.5) < waited < timedelta(seconds=3)
    assert journal.executions() == {run_id: 2}


def test_a_step_that_fails_is_tried_again_after_a_pause_until_it_has_failed_too_often(
    fleet: Fleet, web: Client, queue: str, journal: Journal
) -> None:
    fleet.start("one")
    hopeless = web.create(queue, "fail", input={"times": 9}, maxFailures=2)
    lucky = web.create(queue, "fail", input={"times": 1}, maxFailures=2)
    final = web.create(queue, "fail", input={"times": 9, "retryable": False}, maxFailures=9)

    run = web.wait_for(hopeless)
    assert (run["runState"], run["failures"]) == ("failed", 2)
    assert run["error"] == {"code": "failed-too-often", "message": "no luck", "stepIndex": 0}
    assert "scheduled" in [event["toState"] for event in web.events(hopeless)]
    assert web.wait_for(lucky)["runState"] == "finished"
    assert web.wait_for(final)["error"]["code"] == "step-failed"
    assert journal.executions() == {hopeless: 2, lucky: 2, final: 1}


def test_a_run_that_no_executor_has_a_handler_for_is_given_back_and_not_run_in_circles(
    fleet: Fleet, web: Client, queue: str
) -> None:
    fleet.start("one")
    run_id = web.create(queue, "unheard-of")

    web.wait_for(run_id, "scheduled")

    released = web.events(run_id)[-1]
    assert (released["kind"], released["detail"]["reason"]) == ("released", "no-handler")

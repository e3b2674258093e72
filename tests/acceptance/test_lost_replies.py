"""Answers that get lost on their way: nothing is executed twice, nothing is held for nobody."""

from datetime import datetime, timedelta

import pytest

from tests.acceptance.client import Client
from tests.acceptance.journal import Gates, Journal
from tests.acceptance.relay import Relay
from tests.acceptance.stage import Fleet
from tests.acceptance.waiting import eventually


def test_a_claim_whose_reply_was_lost_is_repeated_under_its_request_id(
    fleet: Fleet, relay: Relay, web: Client, queue: str, journal: Journal
) -> None:
    run_ids = web.create_many(queue, 4)
    relay.lose_answers("/v1/claims", times=1)

    fleet.start("one", slots=4, lease_seconds=60, url=relay.url)

    for run_id in run_ids:
        run = web.wait_for(run_id)
        assert (run["runState"], run["attempt"]) == ("finished", 1)
    assert journal.executions() == dict.fromkeys(run_ids, 1)
    granted = [one for one in relay.requests("/v1/claims") if one.answer["dispatches"]]
    lost, repeated = granted[:2]
    assert (lost.lost, repeated.lost) == (True, False)
    assert lost.body == repeated.body
    assert (lost.answer["replayed"], repeated.answer["replayed"]) == (False, True)


def test_a_report_whose_answer_was_lost_is_repeated_and_answered_from_the_ledger(
    fleet: Fleet, relay: Relay, web: Client, queue: str, journal: Journal
) -> None:
    run_id = web.create(queue)
    relay.lose_answers("/v1/reports", times=2)

    fleet.start("one", lease_seconds=60, url=relay.url)

    run = web.wait_for(run_id)
    reports = eventually(
        lambda: [one for one in relay.requests("/v1/reports") if not one.lost],
        what="a report was answered",
    )
    assert (run["runState"], run["attempt"]) == ("finished", 1)
    assert reports[0].answer["results"][0]["replayed"] is True
    assert len({str(one.body) for one in relay.requests("/v1/reports")}) == 1
    assert web.kinds(run_id).count("reported") == 1
    assert journal.executions() == {run_id: 1}


def test_a_trigger_whose_claim_was_answered_at_the_second_time_executes_the_run_once(
    fleet: Fleet, relay: Relay, web: Client, queue: str, journal: Journal
) -> None:
    executor = fleet.start_idle("one", lease_seconds=60, url=relay.url)
    run_id = web.create(queue)
    relay.lose_answers(f"/v1/runs/{run_id}/claim", times=1)

    answer = executor.caller().trigger(run_id)

    assert answer.json() == {"triggered": True}
    assert web.wait_for(run_id)["attempt"] == 1
    first, second = relay.requests(f"/v1/runs/{run_id}/claim")
    assert first.body == second.body
    assert journal.executions() == {run_id: 1}


def test_a_run_whose_claim_is_still_being_answered_is_no_orphan(
    fleet: Fleet, relay: Relay, web: Client, queue: str, journal: Journal, gates: Gates
) -> None:
    held = web.create(queue, "hold", input={"gate": "gate"})
    fleet.start("one", slots=2, url=relay.url)
    journal.wait_for(held)
    let_go = relay.hold_back_answers("/v1/claims")
    run_id = web.create(queue)
    web.wait_for(run_id, "loading")
    granted_at = datetime.fromisoformat(web.run(run_id)["lockedAt"])

    def renewed_with_a_later_time() -> bool:
        # Whoever names neither the run nor its claim now says that it is an orphan.
        return any(
            one.body["asOf"] and datetime.fromisoformat(one.body["asOf"]) > granted_at
            for one in relay.requests("/v1/leases/renew")
        )

    eventually(renewed_with_a_later_time, what="a renewal since the run was granted")
    let_go.set()

    run = web.wait_for(run_id)
    assert (run["runState"], run["attempt"]) == ("finished", 1)
    assert "orphaned" not in web.kinds(run_id)
    gates.open("gate")
    web.wait_for(held, "finished")
    assert journal.executions() == {held: 1, run_id: 1}


@pytest.mark.fault("F9")
def test_the_orphan_of_a_claim_that_was_given_up_is_freed_by_the_heartbeat(
    fleet: Fleet, relay: Relay, web: Client, queue: str, journal: Journal
) -> None:
    giving_up = fleet.start_idle("one", lease_seconds=60, url=relay.url)
    run_id = web.create(queue)
    relay.lose_answers(f"/v1/runs/{run_id}/claim", times=1_000)

    answer = giving_up.caller().trigger(run_id)
    given_up_at = datetime.fromisoformat(web.run(run_id)["lockedAt"])
    fleet.start("two")

    assert (answer.status_code, answer.json()["code"]) == (503, "orchestrator_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    run = web.wait_for(run_id)
    assert (run["runState"], run["output"], run["crashes"]) == ("finished", {"by": "two"}, 0)
    orphaned = next(one for one in web.events(run_id) if one["kind"] == "orphaned")
    assert datetime.fromisoformat(orphaned["at"]) - given_up_at < timedelta(seconds=20)
    assert journal.executions() == {run_id: 1}

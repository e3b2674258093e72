"""The executor of docs/examples, in plain JavaScript, against a real orchestrator."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client
from tests.acceptance.journal import GATES, JOURNAL, Gates, Journal
from tests.acceptance.processes import Program, environment
from tests.acceptance.relay import Relay
from tests.acceptance.stage import Fleet, Stage
from tests.acceptance.waiting import eventually

PROGRAM = Path(__file__).parents[2] / "docs" / "examples" / "executor.mjs"
HANDLERS = Path(__file__).with_name("handlers.mjs")
NODE = "node"

Start = Callable[..., Program]


@pytest.fixture
def start(stage: Stage, fleet: Fleet) -> Iterator[Start]:
    """Starts executors of the test's queue; all are gone at its end."""
    node = shutil.which(NODE)
    if node is None:
        pytest.skip("install Node 20 (nodejs): it runs the executor of docs/examples")
    started: list[Program] = []

    def start(name: str, **settings: str) -> Program:
        program = Program(
            name,
            [node, str(PROGRAM), str(HANDLERS)],
            environment(
                {
                    "ORCHESTRATOR_URL": stage.orchestrator.url,
                    "EXECUTOR_TOKEN": stage.tokens[Role.EXECUTOR],
                    "EXECUTOR_NAME": name,
                    "EXECUTOR_QUEUES": fleet.queue,
                    "EXECUTOR_LEASE_SECONDS": "2",
                    JOURNAL: str(fleet.journal.path),
                    GATES: str(fleet.gates.path),
                    **settings,
                }
            ),
            fleet.directory / f"{name}.log",
        )
        started.append(program)
        program.start()
        return program

    yield start
    for program in started:
        program.kill()


def define(ops: Client, name: str, *types: str, **members: Any) -> str:
    steps = [
        {"name": f"s{index}", "type": type_, "next": [f"s{index + 1}"], **members}
        for index, type_ in enumerate(types)
    ]
    steps[-1]["next"] = []
    ops.ask("PUT", f"/v1/workflows/{name}", {"steps": steps})
    return name


def test_three_of_them_execute_each_step_once(
    start: Start, web: Client, ops: Client, queue: str, journal: Journal
) -> None:
    workflow = define(ops, f"two-{queue}", "record", "record")
    run_ids = web.create_many(queue, 60, workflow, input={"orderId": 7})
    for name in ("one", "two", "three"):
        start(name)
    for run_id in run_ids:
        web.wait_for(run_id, "finished")

    began = [entry.idempotency_key for entry in journal.entries()]
    assert sorted(began) == sorted(f"{run}:{step}" for run in run_ids for step in (0, 1))
    assert web.run(run_ids[0])["attempt"] == 1
    assert web.run(run_ids[0])["output"] == {"input": {"orderId": 7}}


def test_a_mutating_step_is_written_ahead_and_one_that_fails_for_good_fails_its_run(
    start: Start, web: Client, ops: Client, queue: str
) -> None:
    start("one")
    paid = web.create(queue, define(ops, f"pay-{queue}", "mutating", mutating=True))
    refused = web.create(queue, "refuse")

    assert web.wait_for(paid)["runState"] == "finished"
    kinds = web.kinds(paid)
    assert kinds.index("step-started") < kinds.index("reported")
    assert web.wait_for(refused)["error"]["code"] == "step-failed"


def test_what_it_holds_longer_than_its_lease_stays_its_own(
    start: Start, web: Client, queue: str, journal: Journal, gates: Gates
) -> None:
    start("one")
    run_id = web.create(queue, input={"gate": "open"})
    journal.wait_for(run_id)
    expires_at = web.run(run_id)["leaseExpiresAt"]
    eventually(lambda: web.run(run_id)["leaseExpiresAt"] > expires_at, what="it is renewed")
    gates.open("open")

    assert web.wait_for(run_id)["attempt"] == 1


def test_an_abort_reaches_its_handler(
    start: Start, web: Client, ops: Client, queue: str, journal: Journal
) -> None:
    start("one")
    run_id = web.create(queue, input={"gate": "never"})
    journal.wait_for(run_id)
    ops.ask("POST", f"/v1/runs/{run_id}/abort")

    assert web.wait_for(run_id)["runState"] == "aborted"
    journal.wait_for(run_id, what="cancelled")


def test_a_paused_one_overwrites_nothing_of_its_successor(
    start: Start, web: Client, queue: str, journal: Journal, gates: Gates
) -> None:
    paused = start("paused")
    run_id = web.create(queue, input={"gate": "open"})
    journal.wait_for(run_id)
    paused.pause()
    start("successor")
    eventually(lambda: len(journal.entries()) == 2, what="the successor executes it")
    gates.open("open")
    finished = web.wait_for(run_id)
    paused.go_on()
    eventually(
        lambda: len(journal.entries("ended")) + len(journal.entries("cancelled")) == 2,
        what="the paused one's handler has ended",
    )

    assert finished["lockedBy"] is None
    assert web.run(run_id) == finished
    assert [event["executor"] for event in web.events(run_id) if event["kind"] == "reported"] == [
        "executor:successor"
    ]


def test_sigterm_gives_back_what_does_not_end_in_time(
    start: Start, web: Client, queue: str, journal: Journal
) -> None:
    leaving = start("leaving", EXECUTOR_STOP_TIMEOUT_S="0.2")
    run_id = web.create(queue, input={"gate": "never"})
    journal.wait_for(run_id)
    leaving.ask_to_end()

    assert leaving.wait_for_exit() == 0
    run = web.run(run_id)
    assert (run["runState"], run["crashes"]) == ("pending", 0)
    assert "released" in web.kinds(run_id)


def test_what_a_parked_claim_is_granted_at_sigterm_is_given_back(
    start: Start, web: Client, queue: str, relay: Relay
) -> None:
    let_go = relay.hold_back_answers("/v1/claims")
    run_id = web.create(queue)
    leaving = start("leaving", EXECUTOR_LEASE_SECONDS="600", ORCHESTRATOR_URL=relay.url)
    web.wait_for(run_id, "loading")
    leaving.ask_to_end()
    eventually(
        lambda: [one for one in relay.requests() if one.method == "PUT" and one.body["draining"]],
        what="it says that it is leaving",
    )
    let_go.set()

    assert leaving.wait_for_exit() == 0
    run = web.run(run_id)
    assert (run["runState"], run["crashes"]) == ("pending", 0)


def test_what_it_was_granted_long_ago_is_renewed_before_it_begins(
    start: Start, web: Client, queue: str, journal: Journal, gates: Gates, relay: Relay
) -> None:
    let_go = relay.hold_back_answers("/v1/claims")
    run_id = web.create(queue, input={"gate": "open"})
    start("late", ORCHESTRATOR_URL=relay.url)
    eventually(
        lambda: [one for one in relay.requests("/v1/claims") if one.answer["dispatches"]],
        what="the run is granted",
    )
    start("successor", EXECUTOR_LEASE_SECONDS="60")
    journal.wait_for(run_id)
    let_go.set()
    eventually(
        lambda: [one for one in relay.requests("/v1/leases/renew") if one.answer["lost"]],
        what="the late one is told that its lease is lost",
    )
    gates.open("open")

    assert web.wait_for(run_id)["runState"] == "finished"
    assert [entry.run_id for entry in journal.entries()] == [run_id]


def test_a_step_that_its_time_ran_out_on_cancels_none_after_it(
    start: Start, web: Client, ops: Client, queue: str
) -> None:
    start("one")
    workflow = define(ops, f"late-{queue}", "unhurried", "tell", timeoutSeconds=1)

    assert web.wait_for(web.create(queue, workflow))["output"] == {"cancelled": False}


def test_an_output_that_is_refused_is_reported_as_an_error_at_once(
    start: Start, web: Client, queue: str
) -> None:
    start("one", EXECUTOR_LEASE_SECONDS="60")

    run = web.wait_for(web.create(queue, "huge"))
    assert (run["error"]["code"], run["attempt"], run["crashes"]) == ("step-failed", 1, 0)


def test_one_whose_claims_are_refused_asks_again_in_peace(start: Start, relay: Relay) -> None:
    # No lease is as short.
    start("one", EXECUTOR_LEASE_SECONDS="1", ORCHESTRATOR_URL=relay.url)
    eventually(lambda: relay.requests("/v1/claims"), what="a claim is refused")
    began_at = time.monotonic()
    eventually(lambda: len(relay.requests("/v1/claims")) >= 4, what="it asks again")

    assert time.monotonic() - began_at > 1

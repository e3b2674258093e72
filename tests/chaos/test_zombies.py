"""Executors that were thought dead and speak again: whatever they say changes nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json, outcome_of
from tests.acceptance.processes import Executor
from tests.acceptance.stage import LEASE_SECONDS, Fleet, Stage
from tests.acceptance.stored import stored
from tests.acceptance.waiting import eventually
from tests.chaos.fault import Fault
from tests.chaos.size import sized

QUEUE = "zombies"
SPEAKING = sized(60, 300)
AT_ONCE = 50
SHORT_LEASE_SECONDS = 2
LONG_LEASE_SECONDS = 600

EXECUTORS = sized(4, 16)
STOPPED = EXECUTORS // 2
# One that loses a lease in five rounds without a success in between gets no more.
ROUNDS = sized(1, 4)


@pytest.fixture
def web(stage: Stage) -> Iterator[Client]:
    with closing(stage.client()) as client:
        yield client


@pytest.fixture
def holder(stage: Stage) -> Iterator[Client]:
    """Who speaks as an executor."""
    with closing(stage.client(Role.EXECUTOR)) as client:
        yield client


@pytest.mark.fault("F2", "F12")
def test_whatever_is_said_under_a_lease_that_was_lost_is_refused_and_changes_nothing(
    web: Client, holder: Client, owner: psycopg.Connection[Any], fault: Fault
) -> None:
    run_ids = web.create_many(QUEUE, SPEAKING, maxCrashes=100)
    late = claim_all(holder, SHORT_LEASE_SECONDS)
    eventually(lambda: web.count(QUEUE, "pending") == SPEAKING, what="all leases were taken back")

    winners = claim_all(holder, LONG_LEASE_SECONDS)
    held = [stored(owner, run_id) for run_id in run_ids]
    speak(holder, late)
    assert [stored(owner, run_id) for run_id in run_ids] == held

    for start in range(0, SPEAKING, AT_ONCE):
        told = [
            outcome_of(each, {"status": "success", "output": each["lease"]["id"]})
            for each in winners[start : start + AT_ONCE]
        ]
        assert {one["status"] for one in holder.report(*told)} == {"finished"}
    over = [stored(owner, run_id) for run_id in run_ids]
    speak(holder, late)
    assert [stored(owner, run_id) for run_id in run_ids] == over

    fault.injected(SPEAKING)
    fault.core(runs=SPEAKING)
    fault.note(f"{2 * SPEAKING} late reports, renewals, releases and step starts each, all refused")


@pytest.mark.fault("F2")
def test_executors_that_were_stopped_for_longer_than_their_lease_write_nothing(
    fleet: Fleet,
    web: Client,
    owner: psycopg.Connection[Any],
    chance: random.Random,
    fault: Fault,
) -> None:
    executors = {f"e{number}": fleet.start(f"e{number}", slots=1) for number in range(EXECUTORS)}

    for number in range(ROUNDS):
        gate = f"round-{number}"
        run_ids = web.create_many(
            fleet.queue, STOPPED, "stubborn", input={"gate": gate, "each": True}, maxCrashes=100
        )
        fleet.journal.wait_for(*run_ids)
        stopped = {entry.executor for entry in fleet.journal.entries() if entry.run_id in run_ids}
        until = time.monotonic() + chance.uniform(1.5, 3) * LEASE_SECONDS
        for name in stopped:
            executors[name].pause()
        for name in executors.keys() - stopped:
            fleet.gates.open(f"{gate}-{name}")
        fault.injected(len(stopped))

        for run_id in run_ids:
            assert web.wait_for(run_id)["output"]["by"] not in stopped
        time.sleep(max(0.0, until - time.monotonic()))
        over = [stored(owner, run_id) for run_id in run_ids]
        for name in stopped:
            fleet.gates.open(f"{gate}-{name}")
            executors[name].go_on()
        for name in stopped:
            eventually(partial(is_idle, executors[name]), what=f"{name} has let go")

        assert [stored(owner, run_id) for run_id in run_ids] == over
        fault.core(runs=len(run_ids))


def claim_all(holder: Client, lease_seconds: int) -> list[Json]:
    """Claim every run of the queue, batch by batch."""
    dispatches: list[Json] = []
    while len(dispatches) < SPEAKING:
        dispatches += holder.claim(QUEUE, limit=AT_ONCE, leaseSeconds=lease_seconds)
    return dispatches


def speak(holder: Client, late: list[Json]) -> None:
    """
    Say everything that can be said under these leases.

    Raises:
        AssertionError: Something of it was not refused.
    """
    for start in range(0, len(late), AT_ONCE):
        batch = late[start : start + AT_ONCE]
        reports = holder.report(
            *(outcome_of(each, {"status": "success", "output": "late"}) for each in batch)
        )
        assert {one["problem"]["code"] for one in reports} == {"lease-lost"}
        leases = [{"leaseId": each["lease"]["id"], "runId": each["run"]["id"]} for each in batch]
        ids = {lease["leaseId"] for lease in leases}
        session = str(uuid4())
        renewed = holder.ask(
            "POST",
            "/v1/leases/renew",
            {"session": session, "leases": leases, "claiming": [], "asOf": None},
        )
        assert (renewed["renewed"], set(renewed["lost"])) == ([], ids)
        released = holder.ask(
            "POST", "/v1/leases/release", {"session": session, "leases": leases, "reason": "late"}
        )
        assert (released["released"], set(released["lost"])) == ([], ids)
        for lease in leases:
            begun = holder.send(
                "POST",
                f"/v1/runs/{lease['runId']}/steps/0/start",
                {"leaseId": lease["leaseId"], "session": session},
            )
            assert (begun.status_code, begun.json()["code"]) == (409, "lease-lost")


def is_idle(executor: Executor) -> bool:
    return bool(executor.health()["inFlight"] == 0)

"""The sample workflows, for real: put by `dibs workflows apply`, executed by a process."""

import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

import executor.samples
from orchestrator.lifecycle import Role
from tests.acceptance.client import Client, Json
from tests.acceptance.processes import Program, python
from tests.acceptance.stage import LEASE_SECONDS, Stage, check_all_ledgers
from tests.acceptance.waiting import eventually
from tests.command_line import CommandLine

FOLDER = Path(executor.samples.__file__).parent
LARGE = {"orderId": 7, "amount": 90_000}


@pytest.fixture
def samples(
    stage: Stage, queue: str, tmp_path: Path, command_line: CommandLine
) -> Iterator[Program]:
    """The samples' definitions, and an executor with their handlers."""
    settings = {
        "ORCHESTRATOR_URL": stage.orchestrator.url,
        "EXECUTOR_TOKEN": stage.tokens[Role.EXECUTOR],
        "EXECUTOR_NAME": "samples",
        "EXECUTOR_QUEUES": queue,
        "EXECUTOR_LEASE_SECONDS": str(LEASE_SECONDS),
        "EXECUTOR_HTTP_PORT": "0",
    }
    applied = command_line.run(
        "workflows",
        "apply",
        str(FOLDER),
        DIBS_URL=stage.orchestrator.url,
        DIBS_TOKEN=stage.tokens[Role.OPERATOR],
    )
    assert applied.code == 0, applied.err
    command = python("executor", "run", "executor.samples:app")
    environment = {**os.environ, "PYTHONWARNINGS": "default", **settings}
    program = Program("samples", command, environment, tmp_path / "samples.log")
    program.start()
    try:
        eventually(lambda: program.said("executor_started"), what="the executor has started")
        yield program
    finally:
        program.kill()
    check_all_ledgers(stage.database)


def steps_of(web: Client, run_id: str) -> list[tuple[str, str]]:
    items: list[Json] = web.ask("GET", f"/v1/runs/{run_id}/steps")["items"]
    return [(step["name"], step["state"]) for step in items]


def test_a_small_refund_is_paid_and_told_of_under_one_lease(
    samples: Program, web: Client, queue: str
) -> None:
    run_id = web.create(queue, "refund", input={"orderId": 7, "amount": 1250})

    run = web.wait_for(run_id)

    assert (run["runState"], run["workflowVersion"], run["attempt"]) == ("finished", 1, 1)
    assert run["output"]["text"].startswith("We have paid back 12.50")
    assert [name for name, _ in steps_of(web, run_id)] == ["check", "pay", "mail"]
    kinds = web.kinds(run_id)
    assert (kinds.count("claimed"), kinds.count("step-started")) == (1, 1)


def test_a_large_refund_is_paid_when_somebody_has_approved_it(
    samples: Program, web: Client, queue: str
) -> None:
    run_id = web.create(queue, "refund", input=LARGE)
    waiting = web.wait_for(run_id, "waiting")

    nonsense = web.send("POST", f"/v1/runs/{run_id}/resume", {"input": {"approved": "perhaps"}})
    before = web.run(run_id)
    web.ask("POST", f"/v1/runs/{run_id}/resume", {"input": {"approved": True}})

    assert waiting["stepName"] == "approve"
    assert waiting["waitingFor"]["schema"]["required"] == ["approved"]
    assert (nonsense.status_code, nonsense.json()["code"]) == (422, "validation")
    assert nonsense.json()["errors"][0]["path"] == "/input/approved"
    assert before == waiting
    run = web.wait_for(run_id)
    assert run["output"]["text"].startswith("We have paid back 900.00")
    assert [name for name, _ in steps_of(web, run_id)] == ["check", "approve", "pay", "mail"]


def test_a_refund_that_is_declined_is_not_paid(samples: Program, web: Client, queue: str) -> None:
    run_id = web.create(queue, "refund", input=LARGE)
    web.wait_for(run_id, "waiting")

    declined = {"approved": False, "reason": "It was worn."}
    web.ask("POST", f"/v1/runs/{run_id}/resume", {"input": declined})

    assert web.wait_for(run_id)["output"]["text"] == "We cannot pay that back. It was worn."
    assert "pay" not in dict(steps_of(web, run_id))


def test_a_refund_of_nonsense_fails_and_its_error_names_the_member(
    samples: Program, web: Client, queue: str
) -> None:
    run_id = web.create(queue, "refund", input={"orderId": "seven", "amount": 1250})

    error = web.wait_for(run_id)["error"]

    assert (error["code"], error["stepIndex"]) == ("step-failed", 0)
    assert "orderId: Input should be a valid integer" in error["message"]


def test_the_nightly_report_runs_by_its_schedule_and_comes_back_for_late_figures(
    samples: Program, web: Client, ops: Client, queue: str
) -> None:
    schedule = {"workflow": "nightly-report", "cron": "30 2 * * *", "queue": queue}
    ops.ask("PUT", f"/v1/schedules/{queue}", schedule)
    run_id = ops.ask("POST", f"/v1/schedules/{queue}/run-now", {})["runId"]

    run = web.wait_for(run_id)

    yesterday = date.fromisoformat(run["createdAt"][:10]) - timedelta(days=1)
    assert run["output"]["title"] == f"Orders of {yesterday}"
    assert run["attempt"] == 2
    states = [event["toState"] for event in web.events(run_id)]
    assert "scheduled" in states
    assert ops.send("DELETE", f"/v1/schedules/{queue}").status_code == 204


def test_an_import_says_how_far_it_is_while_it_passes_through_its_steps(
    samples: Program, web: Client, queue: str
) -> None:
    run_id = web.create(queue, "import-orders", input={"rows": 150})

    progress = eventually(lambda: web.run(run_id)["progress"], what="progress")
    run = web.wait_for(run_id)

    assert progress["of"] == 135
    assert 0 < progress["done"] <= 135
    assert run["output"] == {"file": "orders.csv", "stored": 135, "rejected": 15}
    assert [name for name, _ in steps_of(web, run_id)] == [
        "fetch",
        "validate",
        "store",
        "summarize",
    ]

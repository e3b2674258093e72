"""Errors of that executor: they are final, until an operator says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.client import Client
from tests.compat.agent import Agent
from tests.compat.doubles import Doubles
from tests.compat.serving import MakeSecret, put
from tests.compat.workflows import Step, native, write


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(write("pay"), id="mutating"),
        pytest.param(write("pay", mutating=False), id="that-does-not-say-that-it-mutates"),
        pytest.param(native("pay", mutating=False), id="native"),
    ],
)
def test_a_step_that_failed_there_is_tried_again_when_told_under_a_number_it_has_not_seen(
    step: Step,
    doubles: Doubles,
    secret_of: MakeSecret,
    agent: Agent,
    web: Client,
    ops: Client,
    queue: str,
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    put(ops, queue, [step])
    agent.refuse_next_write()
    # What it has kept says that this step was cut off, and fails it for ever under this index.
    double = doubles.start(secret_of("one"), poll_seconds=0.1, store=str(store))
    run_id = web.create(queue, queue)

    failed = web.wait_for(run_id)
    ops.ask("POST", f"/v1/runs/{run_id}/retry", {})
    run = web.wait_for(run_id, "finished")

    assert (failed["runState"], failed["error"]["code"]) == ("failed", "step-failed")
    assert run["stepIndex"] > failed["stepIndex"]
    first, again = double.wait_for_reports(2)
    assert first["body"]["executionStatus"]["message"]
    assert again["body"]["stepUpdate"]["stepIndex"] > first["body"]["stepUpdate"]["stepIndex"]
    assert len(agent.writes(run_id)) == 2

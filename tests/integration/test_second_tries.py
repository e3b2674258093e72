"""Second tries on purpose: resolve what is unknown, retry what is over."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import RunAlreadyActive
from orchestrator.store.records import Dispatch
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor, held


def unknown(dibs: Dibs, executor: Executor) -> Dispatch:
    """A run whose mutating step may or may not have happened."""
    begun = dibs.begun(executor)
    dibs.tell(begun, executor, "unknown", message="it hung up")
    return begun


def failed(dibs: Dibs, executor: Executor, **changes: Any) -> Dispatch:
    dispatch = dibs.dispatch(executor, **changes)
    dibs.tell(dispatch, executor, "error", message="no", retryable=False)
    return dispatch


def test_an_unknown_outcome_is_resolved_as_done_with_the_given_output(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = unknown(dibs, executor)

    run = dibs.resolve(dispatch.run.id, "done", output_json='{"charged": 5}')

    assert (run.run_state, dibs.row(run.id)["output"]) == ("finished", {"charged": 5})
    assert dibs.sql('SELECT state, output FROM "workflowSteps"') == [
        {"state": "finished", "output": {"charged": 5}}
    ]


def test_an_unknown_outcome_that_is_run_again_gets_a_new_idempotency_key(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = unknown(dibs, executor)

    run = dibs.resolve(dispatch.run.id, "run-again")

    row = dibs.row(run.id)
    assert (run.run_state, run.step_index) == ("pending", 1)
    assert (row["failures"], row["crashes"], row["mutatingSince"]) == (0, 0, None)


def test_an_unknown_outcome_is_resolved_as_aborted(dibs: Dibs, executor: Executor) -> None:
    dispatch = unknown(dibs, executor)

    assert dibs.resolve(dispatch.run.id, "abort").run_state == "aborted"


def test_a_failed_run_goes_on_at_the_step_that_failed_its_budgets_unused(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = failed(dibs, executor)

    run = dibs.retry(dispatch.run.id)

    row = dibs.row(run.id)
    assert (run.run_state, run.step_index, run.failures, run.crashes) == ("pending", 0, 0, 0)
    assert (row["error"], row["finishedAt"]) == (None, None)
    assert dibs.claim_run(executor, run.id)[0].lease.fence > dispatch.lease.fence


def test_an_aborted_run_is_retried_and_no_longer_to_be_aborted(
    dibs: Dibs, executor: Executor
) -> None:
    run = dibs.pending()
    dibs.abort(run.id)

    assert dibs.retry(run.id).abort_requested_at is None


def test_a_retried_mutating_step_gets_a_new_idempotency_key(dibs: Dibs, executor: Executor) -> None:
    begun = dibs.begun(executor)
    dibs.tell(begun, executor, "error", message="no")
    first = dibs.retry(begun.run.id)
    again, _ = dibs.claim_run(executor, first.id)
    dibs.tell(again, executor, "error", message="not begun", retryable=False)

    second = dibs.retry(begun.run.id)

    # Only a step that had begun takes the next index.
    assert (first.step_index, second.step_index) == (1, 1)


def test_a_retried_mutating_step_can_be_begun_again(dibs: Dibs, executor: Executor) -> None:
    begun = dibs.begun(executor)
    dibs.tell(begun, executor, "error", message="no")
    dibs.retry(begun.run.id)
    again, _ = dibs.claim_run(executor, begun.run.id)
    dibs.leases.start_step(held(again, executor), step_index=1)

    assert dibs.tell(again, executor, "success").status == "finished"


def test_a_retry_yields_to_a_live_run_with_the_same_dedup_key(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = failed(dibs, executor, dedup_key="order-7")
    live = dibs.pending(dedup_key="order-7")

    with pytest.raises(RunAlreadyActive) as refused:
        dibs.retry(dispatch.run.id)
    assert refused.value.members["runId"] == str(live.id)
    assert dibs.state(dispatch.run.id) == "failed"

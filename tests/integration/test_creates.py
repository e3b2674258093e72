"""Creates: all or none, once for each key, one live run for each dedupKey."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from orchestrator.desk.creates import Wanted
from orchestrator.errors import IdempotencyKeyReused, RunAlreadyActive
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor, new_run

KEYED: dict[str, Any] = {"idempotency_key": "k", "request_hash": b"h" * 32}


def runs(dibs: Dibs) -> int:
    return int(dibs.sql('SELECT count(*) FROM "workflowRuns"')[0]["count"])


def test_a_run_is_pending_when_it_is_due_and_scheduled_when_not(dibs: Dibs) -> None:
    past = dibs.pending(available_at=dibs.now() - timedelta(days=1))
    future = dibs.pending(available_at=dibs.now() + timedelta(days=1))

    assert (past.run_state, future.run_state) == ("pending", "scheduled")
    assert past.available_at == dibs.row(past.id)["claimKey"]
    assert past.available_at is not None
    # A due time in the past buys no place in front of those that wait already.
    assert (dibs.now() - past.available_at) < timedelta(minutes=1)


def test_a_batch_is_answered_in_the_order_given(dibs: Dibs) -> None:
    wanted = [Wanted(new_run(input=str(number)), return_active=False) for number in range(50)]

    made = dibs.creates.create(wanted)

    assert [each.run.id for each in made] == [wish.run.id for wish in wanted]
    assert all(each.created for each in made)


def test_a_batch_with_one_conflict_creates_nothing_and_names_it(dibs: Dibs) -> None:
    live = dibs.pending(dedup_key="order-7")
    wanted = [Wanted(new_run(dedup_key=key), return_active=False) for key in (None, "order-7")]

    with pytest.raises(RunAlreadyActive) as refused:
        dibs.creates.create(wanted)
    assert (refused.value.members["index"], refused.value.members["runId"]) == (1, str(live.id))
    assert runs(dibs) == 1


def test_a_batch_may_have_a_dedup_key_twice_when_it_takes_the_live_run(dibs: Dibs) -> None:
    wanted = [Wanted(new_run(dedup_key="order-7"), return_active=True) for _ in range(2)]

    first, second = dibs.creates.create(wanted)

    assert (first.created, second.created) == (True, False)
    assert second.run.id == first.run.id


def test_the_same_key_and_body_again_gets_the_run_that_was_made(
    dibs: Dibs, executor: Executor
) -> None:
    first = dibs.create(**KEYED)
    dibs.tell(dibs.claim_run(executor, first.run.id)[0], executor, "success")

    second = dibs.create(**KEYED)

    assert (second.created, second.run.id) == (False, first.run.id)
    assert second.run.run_state == "finished"
    assert runs(dibs) == 1


def test_the_same_key_with_another_body_is_refused(dibs: Dibs) -> None:
    first = dibs.create(**KEYED)

    with pytest.raises(IdempotencyKeyReused) as refused:
        dibs.create(idempotency_key="k", request_hash=b"x" * 32)
    assert refused.value.members["runId"] == str(first.run.id)


def test_the_same_key_of_another_token_is_another_run(dibs: Dibs) -> None:
    first = dibs.create(**KEYED)

    assert dibs.create(**KEYED, created_by="other").run.id != first.run.id


def test_a_key_wins_over_a_dedup_key(dibs: Dibs) -> None:
    first = dibs.create(**KEYED, dedup_key="order-7")

    assert dibs.create(**KEYED, dedup_key="order-7").run.id == first.run.id


@pytest.mark.parametrize(
    "difference", [{"queue": "other"}, {"workflow": "other"}, {"dedup_key": "order-8"}]
)
def test_a_dedup_key_counts_for_one_workflow_in_one_queue(
    dibs: Dibs, difference: dict[str, Any]
) -> None:
    dibs.pending(dedup_key="order-7")

    assert dibs.create(**{"dedup_key": "order-7", **difference}).created


def test_a_dedup_key_is_free_when_its_run_is_over(dibs: Dibs) -> None:
    first = dibs.pending(dedup_key="order-7")
    dibs.abort(first.id)

    assert dibs.create(dedup_key="order-7").created


@pytest.mark.parametrize("key", [KEYED, {"dedup_key": "order-7", "return_active": True}])
def test_creates_at_once_with_one_key_make_one_run(dibs: Dibs, key: dict[str, Any]) -> None:
    barrier = threading.Barrier(4)

    def create() -> tuple[UUID, bool]:
        barrier.wait(10)
        made = dibs.create(**key)
        return made.run.id, made.created

    with ThreadPoolExecutor(4) as clients:
        made = [future.result() for future in [clients.submit(create) for _ in range(4)]]

    assert len({run_id for run_id, _ in made}) == 1
    assert sum(created for _, created in made) == 1
    assert runs(dibs) == 1


def test_batches_at_once_with_the_same_keys_in_opposite_order_both_end(dibs: Dibs) -> None:
    keys = [f"order-{number}" for number in range(30)]
    barrier = threading.Barrier(2)

    def create(order: list[str]) -> int:
        wanted = [Wanted(new_run(dedup_key=key), return_active=True) for key in order]
        barrier.wait(10)
        return sum(each.created for each in dibs.creates.create(wanted))

    with ThreadPoolExecutor(2) as clients:
        made = [clients.submit(create, order) for order in (keys, keys[::-1])]

    assert sum(future.result() for future in made) == 30
    assert runs(dibs) == 30

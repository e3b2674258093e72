"""Runs with a concurrencyKey: one after another, whatever becomes of each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from orchestrator.desk.creates import Wanted
from orchestrator.errors import RunNotClaimable
from orchestrator.store import parked
from orchestrator.store.records import Run
from orchestrator.store.transaction import transact
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.raw_rows import LEASE, change_run, insert_run
from tests.integration.statements import captured
from tests.integration.wishes import Executor, new_run

KEY = "customer-7"


def keyed(dibs: Dibs, **changes: Any) -> Run:
    return dibs.pending(concurrency_key=KEY, **changes)


def claimed(dibs: Dibs, executor: Executor, **changes: Any) -> list[UUID]:
    """The runs that a claim of many gets."""
    return [each.run.id for each in dibs.claim(executor, limit=50, **changes).dispatches]


def allow(dibs: Dibs, runs: int | None) -> None:
    dibs.sql(
        'INSERT INTO queues (name, paused, "maxConcurrencyPerKey", "changedAt")'
        " VALUES ('default', false, %s, now())"
        " ON CONFLICT (name)"
        ' DO UPDATE SET "maxConcurrencyPerKey" = excluded."maxConcurrencyPerKey"',
        runs,
    )


def test_of_three_runs_of_a_key_one_is_claimed(dibs: Dibs, executor: Executor) -> None:
    first, *_ = [keyed(dibs) for _ in range(3)]

    assert claimed(dibs, executor) == [first.id]
    assert claimed(dibs, executor) == []
    assert first.concurrency_key == KEY


def test_another_key_and_another_queue_and_no_key_are_not_held_up(
    dibs: Dibs, executor: Executor
) -> None:
    dibs.dispatch(executor, concurrency_key=KEY)
    keyed(dibs)
    others = [
        dibs.pending(concurrency_key="customer-8"),
        keyed(dibs, queue="billing"),
        dibs.pending(),
    ]

    got = claimed(dibs, executor, queues=("default", "billing"))

    assert set(got) == {run.id for run in others}


def test_as_many_as_the_queue_allows(dibs: Dibs, executor: Executor) -> None:
    allow(dibs, 2)
    runs = [keyed(dibs) for _ in range(3)]

    assert claimed(dibs, executor) == [run.id for run in runs[:2]]


def test_the_next_one_is_let_in_in_the_order_of_claims(dibs: Dibs, executor: Executor) -> None:
    held = dibs.dispatch(executor, concurrency_key=KEY)
    keyed(dibs)
    urgent = keyed(dibs, priority=10)

    dibs.tell(held, executor, "success")

    assert claimed(dibs, executor) == [urgent.id]


@pytest.mark.parametrize("outcome", ["success", "error", "later", "awaiting-input"])
def test_a_report_that_ends_the_lease_lets_the_next_one_in(
    dibs: Dibs, executor: Executor, outcome: str
) -> None:
    held = dibs.dispatch(executor, concurrency_key=KEY)
    second = keyed(dibs)

    parts: dict[str, Any] = {
        "later": {"available_at": dibs.now() + timedelta(hours=1)},
        "awaiting-input": {"waiting_for": '{"reason": "input"}'},
    }.get(outcome, {})
    dibs.tell(held, executor, outcome, **parts)

    assert claimed(dibs, executor) == [second.id]


def test_a_release_goes_behind_what_waits_already(dibs: Dibs, executor: Executor) -> None:
    held = dibs.dispatch(executor, concurrency_key=KEY)
    second = keyed(dibs)

    dibs.release(executor, held)

    assert claimed(dibs, executor) == [second.id]
    assert dibs.state(held.run.id) == "pending"


def test_an_expiry_lets_the_next_one_in(dibs: Dibs, executor: Executor) -> None:
    held = dibs.dispatch(executor, concurrency_key=KEY)
    second = keyed(dibs)
    dibs.expire(held.run.id)

    dibs.tick()

    assert claimed(dibs, executor) == [second.id]


def test_an_orphan_lets_the_next_one_in(dibs: Dibs, executor: Executor) -> None:
    dibs.dispatch(executor, concurrency_key=KEY)
    second = keyed(dibs)

    dibs.reconcile(executor, as_of=dibs.now())

    assert claimed(dibs, executor) == [second.id]


def test_an_abort_of_the_first_lets_the_next_one_in(dibs: Dibs, executor: Executor) -> None:
    first, second = keyed(dibs), keyed(dibs)

    dibs.abort(first.id)

    assert claimed(dibs, executor) == [second.id]


def test_an_abort_of_one_that_waits_lets_nobody_in(dibs: Dibs, executor: Executor) -> None:
    dibs.dispatch(executor, concurrency_key=KEY)
    second, _ = keyed(dibs), keyed(dibs)

    dibs.abort(second.id)

    assert claimed(dibs, executor) == []
    row = dibs.row(second.id)
    assert row["gatedClaimKey"] is None
    assert row["claimKey"] == second.available_at


def test_a_retry_waits_for_its_turn(dibs: Dibs, executor: Executor) -> None:
    failed = dibs.dispatch(executor, concurrency_key=KEY)
    dibs.tell(failed, executor, "error", retryable=False)
    held = dibs.dispatch(executor, concurrency_key=KEY)

    dibs.retry(failed.run.id)

    assert claimed(dibs, executor) == []
    dibs.tell(held, executor, "success")
    assert claimed(dibs, executor) == [failed.run.id]


def test_a_back_off_gives_its_place_up_and_waits_for_one_when_it_is_due(
    dibs: Dibs, executor: Executor
) -> None:
    failing = dibs.dispatch(executor, concurrency_key=KEY)
    second = keyed(dibs)
    dibs.tell(failing, executor, "error")
    held = dibs.claim(executor).dispatches[0]
    dibs.make_due(failing.run.id)

    dibs.tick()

    assert held.run.id == second.id
    assert claimed(dibs, executor) == []
    dibs.tell(held, executor, "success")
    assert claimed(dibs, executor) == [failing.run.id]


def test_a_resume_waits_for_its_turn(dibs: Dibs, executor: Executor) -> None:
    waiting = dibs.dispatch(executor, concurrency_key=KEY)
    dibs.tell(waiting, executor, "awaiting-input", waiting_for='{"reason": "input"}')
    held = dibs.dispatch(executor, concurrency_key=KEY)

    dibs.resume(waiting.run.id)

    assert claimed(dibs, executor) == []
    dibs.tell(held, executor, "success")
    assert claimed(dibs, executor) == [waiting.run.id]


@pytest.mark.parametrize("as_", ["done", "run-again", "abort"])
def test_a_resolve_waits_for_its_turn_or_is_the_end(
    dibs: Dibs, executor: Executor, as_: str
) -> None:
    unknown = dibs.begun(executor, concurrency_key=KEY)
    dibs.tell(unknown, executor, "unknown")
    held = dibs.dispatch(executor, concurrency_key=KEY)

    dibs.resolve(unknown.run.id, as_)

    assert claimed(dibs, executor) == []
    dibs.tell(held, executor, "success")
    assert claimed(dibs, executor) == ([unknown.run.id] if as_ == "run-again" else [])


def test_of_a_batch_each_run_waits_for_its_own_key(dibs: Dibs, executor: Executor) -> None:
    keys = ["a", None, "a", "b", None]
    created = dibs.creates.create(
        [Wanted(new_run(concurrency_key=key), return_active=False) for key in keys]
    )

    got = claimed(dibs, executor)

    assert got == [created[place].run.id for place in (0, 1, 3, 4)]


def test_a_run_that_is_not_due_takes_no_place(dibs: Dibs, executor: Executor) -> None:
    keyed(dibs, available_at=dibs.now() + timedelta(hours=1))
    second = keyed(dibs)

    assert claimed(dibs, executor) == [second.id]


def test_a_claim_by_id_of_one_that_waits_is_refused_and_told_who_is_before_it(
    dibs: Dibs, executor: Executor
) -> None:
    held = dibs.dispatch(executor, concurrency_key=KEY)
    second = keyed(dibs)

    with pytest.raises(RunNotClaimable) as refused:
        dibs.claim_run(executor, second.id)

    assert refused.value.members["gate"] == "limit"
    assert KEY in refused.value.message
    assert str(held.run.id) in refused.value.message


def test_input_finds_its_run_a_place_or_is_refused(dibs: Dibs, executor: Executor) -> None:
    waiting = dibs.dispatch(executor, concurrency_key=KEY)
    dibs.tell(waiting, executor, "awaiting-input", waiting_for='{"reason": "input"}')
    held = dibs.dispatch(executor, concurrency_key=KEY)

    with pytest.raises(RunNotClaimable) as refused:
        dibs.claim_run(executor, waiting.run.id, input_json="{}")
    dibs.tell(held, executor, "success")
    dibs.claim_run(executor, waiting.run.id, input_json="{}")

    assert refused.value.members["gate"] == "limit"
    keyed(dibs)
    assert claimed(dibs, executor) == []


def test_a_renewal_keeps_its_place(dibs: Dibs, executor: Executor) -> None:
    held = dibs.dispatch(executor, concurrency_key=KEY)
    keyed(dibs)

    dibs.renew(executor, held)

    assert claimed(dibs, executor) == []


def test_more_that_is_allowed_is_found_by_the_keeper(dibs: Dibs, executor: Executor) -> None:
    runs = [keyed(dibs) for _ in range(4)]
    allow(dibs, 3)

    dibs.tick()

    assert claimed(dibs, executor) == [run.id for run in runs[:3]]


def test_less_that_is_allowed_takes_nothing_away(dibs: Dibs, executor: Executor) -> None:
    allow(dibs, 2)
    runs = [keyed(dibs) for _ in range(3)]
    first, second = dibs.claim(executor, limit=2).dispatches
    allow(dibs, None)

    dibs.tell(first, executor, "success")

    assert claimed(dibs, executor) == []
    dibs.tell(second, executor, "success")
    assert claimed(dibs, executor) == [runs[2].id]


def test_a_statement_of_the_version_before_is_gated_and_claims_no_gated_run(
    owner: psycopg.Connection,
) -> None:
    """It knows neither keys nor gates: it makes a run pending, and claims what is pending."""
    with owner.transaction(force_rollback=True):
        insert_run(owner, "waiting", concurrencyKey=KEY)
        change_run(owner, runState="pending", waitingFor=None)
        gated = owner.execute('SELECT "gatedClaimKey" IS NOT NULL FROM "workflowRuns"').fetchone()
        change_run(owner, runState="loading", version=3, fence=6, **LEASE)
        state = owner.execute('SELECT "runState", version FROM "workflowRuns"').fetchone()

    assert gated == (True,)
    assert state == ("pending", 2)


def test_runs_without_a_key_cost_no_statement(
    dibs: Dibs, database: Database, executor: Executor
) -> None:
    with captured(dibs.database.work) as work, captured(dibs.database.leases) as leases:
        held = dibs.dispatch(executor)
        dibs.release(executor, held)
        dibs.tell(dibs.claim(executor).dispatches[0], executor, "error", retryable=False)
        dibs.retry(held.run.id)
        dibs.abort(held.run.id)

    assert not [each for each in work + leases if 'gatedClaimKey" = NULL' in each.text]
    assert not [each for each in work + leases if "pg_advisory_xact_lock(17" in each.text]


def test_a_gated_run_is_nothing_to_look_for(dibs: Dibs, executor: Executor) -> None:
    dibs.dispatch(executor, concurrency_key=KEY)
    keyed(dibs)

    found = transact(
        dibs.database.work,
        lambda connection: parked.look(
            connection, queues=["default"], most=8, keys=[], processes=[]
        ),
    )

    assert found.runs == {}


def test_a_create_rings_for_runs_that_are_let_in_only(dibs: Dibs, executor: Executor) -> None:
    told: list[dict[str, int]] = []
    dibs.bell.hear = lambda arrived: told.append(dict(arrived)) or {}

    first, _ = keyed(dibs), keyed(dibs)
    dibs.abort(first.id)

    assert [arrived for arrived in told if arrived] == [{"default": 1}, {"default": 1}]


def test_when_a_queue_allows_fewer_what_is_not_claimed_yet_is_held_back(
    dibs: Dibs, executor: Executor
) -> None:
    allow(dibs, 3)
    first, second, third = (dibs.pending(concurrency_key="customer-7") for _ in range(3))
    [claimed] = dibs.claim(executor).dispatches
    allow(dibs, 2)
    dibs.tick()

    assert claimed.run.id == first.id
    assert [dibs.is_gated(run.id) for run in (second, third)] == [False, True]
    assert [each.run.id for each in dibs.claim(executor, limit=5).dispatches] == [second.id]
    dibs.tell(claimed, executor, "success")
    assert [each.run.id for each in dibs.claim(executor, limit=5).dispatches] == [third.id]

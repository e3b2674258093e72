"""Leases: kept by renewal, given back by release, written ahead of a mutating step."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from orchestrator.errors import LeaseLost
from orchestrator.store import endings
from orchestrator.store import leases as store
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor, held


def test_the_first_renewal_confirms_that_the_run_executes(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)

    answer = dibs.renew(executor, dispatch)

    row = dibs.row(dispatch.run.id)
    assert [each.lease_id for each in answer.renewed] == [dispatch.lease.id]
    assert (row["runState"], answer.lost) == ("started", [])
    assert row["leaseExpiresAt"] > dispatch.lease.expires_at
    assert row["startedAt"] is not None
    assert dibs.events(dispatch.run.id) == ["created", "claimed", "started"]


def test_later_renewals_are_no_events_and_touch_no_index(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.renew(executor, dispatch)
    with dibs.database.leases.begin() as connection:
        store.renew(connection, [held(dispatch, executor)])
        store.renew(connection, [held(dispatch, executor)])
        hot = connection.scalar(
            text("""SELECT pg_stat_get_xact_tuples_hot_updated('"workflowRuns"'::regclass)""")
        )

    assert hot == 2
    assert dibs.events(dispatch.run.id) == ["created", "claimed", "started"]


def test_a_renewal_may_change_the_leases_length_and_keeps_it_otherwise(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = dibs.dispatch(executor, lease_seconds=30)

    longer = dibs.renew(executor, dispatch, lease_seconds=300)
    kept = dibs.renew(executor, dispatch)

    for answer in (longer, kept):
        length = answer.renewed[0].expires_at - answer.server_time
        assert timedelta(seconds=295) < length <= timedelta(seconds=300)


def test_a_renewal_stores_the_progress_and_keeps_it_when_none_is_told(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.leases.renew([held(dispatch, executor, progress='{"done": 3}')], None)
    dibs.renew(executor, dispatch)

    assert dibs.row(dispatch.run.id)["progress"] == {"done": 3}


def test_a_lease_that_is_not_the_callers_now_is_lost(
    dibs: Dibs, executor: Executor, stranger: Executor
) -> None:
    mine, over, theirs = dibs.dispatch(executor), dibs.dispatch(executor), dibs.dispatch(stranger)
    dibs.tell(over, executor, "success")

    answer = dibs.renew(executor, mine, over, theirs)

    assert [each.lease_id for each in answer.renewed] == [mine.lease.id]
    assert answer.lost == [over.lease.id, theirs.lease.id]
    assert dibs.row(theirs.run.id)["leaseExpiresAt"] == theirs.lease.expires_at


@pytest.mark.fault("F12", "F49")
def test_a_lease_that_another_of_the_same_fleet_has_followed_is_lost_for_good(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    first = dibs.dispatch(executor)
    dibs.release(executor, first)
    dibs.claim_run(other, first.run.id)
    before = dibs.row(first.run.id)

    renewed = dibs.renew(executor, first)
    released = dibs.release(executor, first)

    assert (renewed.renewed, renewed.lost) == ([], [first.lease.id])
    assert (released.released, released.lost) == ([], [first.lease.id])
    assert dibs.row(first.run.id) == before


def test_a_token_that_begins_like_another_is_not_that_one(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(Executor("fleet2:one"))

    assert dibs.renew(executor, dispatch).lost == [dispatch.lease.id]


def test_a_lease_named_twice_is_renewed_once(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor)

    answer = dibs.renew(executor, dispatch, dispatch)

    assert len(answer.renewed) == 1
    assert dibs.events(dispatch.run.id) == ["created", "claimed", "started"]


def test_a_renewal_tells_of_an_abort_and_goes_on_for_one_lease_at_most(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = dibs.dispatch(executor, lease_seconds=30)
    dibs.abort(dispatch.run.id)

    answer = dibs.renew(executor, dispatch)

    row = dibs.row(dispatch.run.id)
    assert answer.renewed[0].abort
    assert row["leaseExpiresAt"] == row["abortRequestedAt"] + timedelta(seconds=30)


def test_a_longer_renewal_does_not_outlast_an_abort_either(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor, lease_seconds=10)
    dibs.abort(dispatch.run.id)
    for _ in range(3):
        dibs.renew(executor, dispatch, lease_seconds=3600)

    row = dibs.row(dispatch.run.id)
    assert row["leaseExpiresAt"] <= row["abortRequestedAt"] + timedelta(seconds=10)


def test_a_released_run_is_pending_again_and_has_paid_nothing(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    dispatch = dibs.dispatch(executor)

    answer = dibs.release(executor, dispatch)

    row = dibs.row(dispatch.run.id)
    assert (answer.released, answer.lost) == ([dispatch.run.id], [])
    assert (row["runState"], row["failures"], row["crashes"], row["releases"]) == (
        "pending",
        0,
        0,
        0,
    )
    assert dibs.claim_run(other, dispatch.run.id)[0].lease.fence > dispatch.lease.fence


def test_a_release_of_what_is_gone_changes_nothing(
    dibs: Dibs, executor: Executor, stranger: Executor
) -> None:
    theirs = dibs.dispatch(stranger)
    gone = dibs.dispatch(executor)
    dibs.release(executor, gone)
    before = [dibs.row(theirs.run.id), dibs.row(gone.run.id)]

    answer = dibs.release(executor, theirs, gone)

    assert (answer.released, answer.lost) == ([], [theirs.lease.id, gone.lease.id])
    assert [dibs.row(theirs.run.id), dibs.row(gone.run.id)] == before


def test_a_release_that_is_looked_up_finds_what_it_did_itself_and_nothing_else(
    dibs: Dibs, executor: Executor, stranger: Executor
) -> None:
    """Its COMMIT was not answered: what another request gave back is lost to this one."""
    dispatch = dibs.dispatch(executor)
    dibs.leases.release([held(dispatch, executor, request_id="this")], reason="draining")

    with dibs.database.leases.begin() as connection:
        own, other, strangers = (
            endings.released_lately(connection, [held(dispatch, who, request_id=request_id)])
            for who, request_id in ((executor, "this"), (executor, "other"), (stranger, "this"))
        )

    assert own == {(executor.token, dispatch.lease.id): dispatch.run.id}
    assert (other, strangers) == ({}, {})


def test_a_run_that_comes_back_goes_behind_what_waits_already(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = dibs.dispatch(executor)
    waits = dibs.pending()
    dibs.release(executor, dispatch)

    answer = dibs.claim(executor, limit=2)

    assert [each.run.id for each in answer.dispatches] == [waits.id, dispatch.run.id]


def test_a_step_start_is_written_ahead_and_repeatable(dibs: Dibs, executor: Executor) -> None:
    begun = dibs.begun(executor)
    first = dibs.row(begun.run.id)

    dibs.leases.start_step(held(begun, executor), step_index=0)

    assert first["runState"] == "started"
    assert first["mutatingSince"] is not None
    assert dibs.row(begun.run.id) == first
    assert dibs.events(begun.run.id) == ["created", "claimed", "step-started"]
    assert dibs.sql('SELECT state FROM "workflowSteps"') == [{"state": "started"}]


@pytest.mark.parametrize("wrong", ["token", "lease", "step"])
def test_a_step_start_without_the_lease_is_refused(
    dibs: Dibs, executor: Executor, stranger: Executor, wrong: str
) -> None:
    dispatch = dibs.dispatch(executor)
    says = held(dispatch, stranger if wrong == "token" else executor)
    if wrong == "lease":
        says = store.HeldLease(executor.token, dispatch.run.id, uuid4())

    with pytest.raises(LeaseLost):
        dibs.leases.start_step(says, step_index=1 if wrong == "step" else 0)
    assert dibs.row(dispatch.run.id)["mutatingSince"] is None


@pytest.mark.parametrize("reason", ["draining", "no-slot"])
def test_a_reason_that_says_nothing_of_the_run_gives_it_back_at_once(
    dibs: Dibs, executor: Executor, reason: str
) -> None:
    dispatch = dibs.dispatch(executor)

    dibs.release(executor, dispatch, reason=reason)

    row = dibs.row(dispatch.run.id)
    assert (row["runState"], row["releases"]) == ("pending", 0)

"""Orphans of lost claim replies: freed early, and nothing else is."""

from __future__ import annotations

from uuid import uuid4

import pytest

from orchestrator.store import orphans
from orchestrator.store.orphans import Reconciliation
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor


def test_a_lease_whose_reply_was_lost_is_freed_for_anyone(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    lost = dibs.dispatch(executor)

    released = dibs.reconcile(executor, as_of=dibs.now())

    assert released == [lost.run.id]
    assert dibs.state(lost.run.id) == "pending"
    assert dibs.claim_run(other, lost.run.id)[0].lease.id != lost.lease.id


def test_a_named_lease_is_no_orphan(dibs: Dibs, executor: Executor) -> None:
    known = dibs.dispatch(executor)

    assert dibs.reconcile(executor, known, as_of=dibs.now()) == []
    assert dibs.state(known.run.id) == "started"


def test_a_named_lease_is_no_orphan_even_before_its_renewal(dibs: Dibs, executor: Executor) -> None:
    known = dibs.dispatch(executor)
    says = Reconciliation(executor.token, executor.session, (), dibs.now())

    with dibs.database.leases.begin() as connection:
        freed = orphans.release_orphans(connection, says, named=[known.lease.id])

    assert freed == []


def test_a_confirmed_lease_is_no_orphan_even_when_it_is_not_named(
    dibs: Dibs, executor: Executor
) -> None:
    confirmed = dibs.dispatch(executor)
    dibs.renew(executor, confirmed)

    assert dibs.reconcile(executor, as_of=dibs.now()) == []


def test_a_lease_of_a_claim_that_is_still_waited_for_is_no_orphan(
    dibs: Dibs, executor: Executor
) -> None:
    run = dibs.pending()
    request_id = uuid4()
    dibs.claim(executor, request_id=request_id)

    assert dibs.reconcile(executor, as_of=dibs.now(), claiming=[request_id]) == []
    assert dibs.reconcile(executor, as_of=dibs.now(), claiming=[uuid4()]) == [run.id]


def test_another_tokens_request_id_protects_nothing(
    dibs: Dibs, executor: Executor, stranger: Executor
) -> None:
    request_id = uuid4()
    dibs.pending()
    dibs.claim(stranger, request_id=request_id)
    lost = dibs.dispatch(executor)

    assert dibs.reconcile(executor, as_of=dibs.now(), claiming=[request_id]) == [lost.run.id]


def test_a_lease_granted_after_the_request_was_composed_is_no_orphan(
    dibs: Dibs, executor: Executor
) -> None:
    as_of = dibs.now()
    late = dibs.dispatch(executor)

    assert dibs.reconcile(executor, as_of=as_of) == []
    assert dibs.reconcile(executor, as_of=late.run.locked_at or as_of) == []


def test_the_leases_of_other_sessions_and_tokens_are_let_alone(
    dibs: Dibs, executor: Executor
) -> None:
    next_start = Executor(executor.name)
    same_session = Executor("strangers:one", session=executor.session)
    kept = [dibs.dispatch(next_start), dibs.dispatch(same_session)]

    assert dibs.reconcile(executor, as_of=dibs.now()) == []
    assert [dibs.state(each.run.id) for each in kept] == ["loading", "loading"]


def test_nothing_is_freed_during_an_amnesty(dibs: Dibs, executor: Executor) -> None:
    lost = dibs.dispatch(executor, lease_seconds=30)
    dibs.sql("UPDATE keeper SET \"amnestySince\" = clock_timestamp() - interval '20 s'")
    during = dibs.reconcile(executor, as_of=dibs.now())
    dibs.sql("UPDATE keeper SET \"amnestySince\" = clock_timestamp() - interval '31 s'")

    assert during == []
    assert dibs.reconcile(executor, as_of=dibs.now()) == [lost.run.id]


def test_nothing_is_freed_before_the_keeper_could_notice_an_outage(
    dibs: Dibs, executor: Executor
) -> None:
    lost = dibs.dispatch(executor)
    dibs.set_keeper(awake=False)
    asleep = dibs.reconcile(executor, as_of=dibs.now())
    dibs.set_keeper(awake=True)

    assert asleep == []
    assert dibs.reconcile(executor, as_of=dibs.now()) == [lost.run.id]


@pytest.mark.parametrize("cause", ["amnesty", "keeper asleep"])
def test_orphans_that_may_not_be_freed_yet_are_told_of(
    dibs: Dibs, executor: Executor, cause: str
) -> None:
    lost, named = dibs.dispatch(executor), dibs.dispatch(executor)
    if cause == "amnesty":
        dibs.sql('UPDATE keeper SET "amnestySince" = clock_timestamp()')
    else:
        dibs.set_keeper(awake=False)
    during = dibs.reconciled(executor, named, as_of=dibs.now())
    without = dibs.renew(executor, named)
    dibs.set_keeper(awake=True)
    dibs.sql('UPDATE keeper SET "amnestySince" = NULL')
    after = dibs.reconciled(executor, named, as_of=dibs.now())

    assert (during.orphans_kept, during.released) == (True, [])
    assert not without.orphans_kept
    assert (after.orphans_kept, after.released) == (False, [lost.run.id])


def test_during_an_amnesty_a_session_without_orphans_is_told_of_none(
    dibs: Dibs, executor: Executor
) -> None:
    named, confirmed = dibs.dispatch(executor), dibs.dispatch(executor)
    dibs.renew(executor, confirmed)
    dibs.sql('UPDATE keeper SET "amnestySince" = clock_timestamp()')

    assert not dibs.reconciled(executor, named, as_of=dibs.now()).orphans_kept


def test_a_renewal_without_reconciliation_frees_nothing(dibs: Dibs, executor: Executor) -> None:
    lost = dibs.dispatch(executor)

    assert dibs.renew(executor).released == []
    assert dibs.state(lost.run.id) == "loading"

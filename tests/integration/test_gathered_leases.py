"""Renewals and releases that come together: one transaction, each answered its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from orchestrator.desk.creates import Wanted
from orchestrator.desk.leases import ReleaseAnswer, RenewAnswer
from orchestrator.store.leases import HeldLease
from orchestrator.store.orphans import Reconciliation
from orchestrator.store.records import Dispatch
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.gathered import WAIT_SECONDS, commits, patient, together
from tests.integration.wishes import Executor, held, new_run

REQUESTS = 100

Renewals = Callable[..., AbstractContextManager[list[Future[RenewAnswer]]]]
Releases = Callable[..., AbstractContextManager[list[Future[ReleaseAnswer]]]]


@pytest.fixture(autouse=True)
def slow_machine(database: Database, owner: psycopg.Connection) -> Iterator[None]:
    with patient(database, owner):
        yield


def nobodys(executor: Executor) -> HeldLease:
    return HeldLease(executor.token, uuid4(), uuid4())


@pytest.fixture
def renew_together(dibs: Dibs) -> Renewals:
    """Let renewals come together: of these leases each, or of leases with a reconciliation."""

    def renew_together(
        *wishes: Sequence[HeldLease] | tuple[Sequence[HeldLease], Reconciliation],
    ) -> AbstractContextManager[list[Future[RenewAnswer]]]:
        works = [
            partial(dibs.leases.renew, *wish)
            if isinstance(wish, tuple)
            else partial(dibs.leases.renew, wish, None)
            for wish in wishes
        ]
        first = partial(dibs.leases.renew, [], None)
        return together(dibs.database.leases, dibs.leases._renewals, first, works)

    return renew_together


@pytest.fixture
def release_together(dibs: Dibs, executor: Executor) -> Releases:
    """Let releases come together, each for draining or for the reason beside it."""

    def release_together(
        *wishes: Sequence[HeldLease] | tuple[Sequence[HeldLease], str],
    ) -> AbstractContextManager[list[Future[ReleaseAnswer]]]:
        works = []
        for wish in wishes:
            leases, reason = wish if isinstance(wish, tuple) else (wish, "draining")
            works.append(partial(dibs.leases.release, leases, reason=reason))
        first = partial(dibs.leases.release, [nobodys(executor)], reason="draining")
        return together(dibs.database.leases, dibs.leases._releases, first, works)

    return release_together


@pytest.fixture
def dispatches(dibs: Dibs, executor: Executor) -> list[Dispatch]:
    """A run for each request, all held by one executor."""
    dibs.creates.create([Wanted(new_run(), return_active=False) for _ in range(REQUESTS)])
    return list(dibs.claim(executor, limit=REQUESTS).dispatches)


def renewed(future: Future[RenewAnswer]) -> tuple[list[UUID], list[UUID]]:
    """The leases that are kept, and those that are lost."""
    answer = future.result(WAIT_SECONDS)
    return [renewal.lease_id for renewal in answer.renewed], list(answer.lost)


def released(future: Future[ReleaseAnswer]) -> tuple[list[UUID], list[UUID]]:
    """The runs that are given back, and the leases that are lost."""
    answer = future.result(WAIT_SECONDS)
    return list(answer.released), list(answer.lost)


def gone(lease: HeldLease) -> tuple[list[UUID], list[UUID]]:
    return [], [lease.lease_id]


def test_the_renewals_of_a_hundred_requests_are_one_commit(
    dibs: Dibs, executor: Executor, dispatches: list[Dispatch], renew_together: Renewals
) -> None:
    named = [
        [held(each, executor, progress=str(number), lease_seconds=100 + number)]
        for number, each in enumerate(dispatches)
    ]
    with commits(dibs.database.leases) as committed, renew_together(*named) as futures:
        answers = [future.result(WAIT_SECONDS) for future in futures]

    # The first, which held up the others, and theirs.
    assert len(committed) == 2
    for number, (dispatch, answer) in enumerate(zip(dispatches, answers, strict=True)):
        row = dibs.row(dispatch.run.id)
        (renewal,) = answer.renewed
        assert (renewal.lease_id, renewal.expires_at) == (dispatch.lease.id, row["leaseExpiresAt"])
        assert (row["runState"], row["progress"]) == ("started", number)
        assert row["leaseSeconds"] == 100 + number
        assert (answer.lost, answer.released, answer.orphans_kept) == ([], [], False)


def test_a_renewal_that_is_no_plain_one_is_answered_its_own_among_a_hundred(
    dibs: Dibs,
    executor: Executor,
    stranger: Executor,
    dispatches: list[Dispatch],
    renew_together: Renewals,
) -> None:
    named = [[held(each, executor)] for each in dispatches]
    over, aborting = dispatches[40], dispatches[41]
    dibs.tell(over, executor, "success")
    dibs.abort(aborting.run.id)
    named[20] = [held(dispatches[20], stranger)]
    named[21] = [HeldLease(executor.token, dispatches[21].run.id, uuid4())]
    named[22] = [nobodys(executor)]
    # One that is lost beside two that are not.
    named[60] = [*named[60], nobodys(executor), *named[61]]
    named[61] = []

    with renew_together(*named) as futures:
        answers = [future.result(WAIT_SECONDS) for future in futures]

    lost = {number for number, answer in enumerate(answers) if answer.lost}
    assert lost == {20, 21, 22, 40, 60}
    for number, (wish, answer) in enumerate(zip(named, answers, strict=True)):
        kept = [renewal.lease_id for renewal in answer.renewed]
        assert sorted([*kept, *answer.lost]) == sorted(lease.lease_id for lease in wish)
        assert [renewal.abort for renewal in answer.renewed] == [number == 41] * len(kept)
    assert answers[60].lost == [named[60][1].lease_id]
    assert [dibs.state(dispatches[number].run.id) for number in (20, 21)] == ["loading"] * 2


def test_a_lease_that_is_named_by_two_renewals_is_renewed_as_each_of_them_says(
    dibs: Dibs, executor: Executor, dispatches: list[Dispatch], renew_together: Renewals
) -> None:
    one, twice, other = dispatches[:3]
    with (
        commits(dibs.database.leases) as committed,
        renew_together(
            [held(one, executor)],
            [held(twice, executor, progress="1", lease_seconds=100)],
            [held(other, executor), held(twice, executor, progress="2", lease_seconds=200)],
            [],
        ) as futures,
    ):
        kept = [renewed(future) for future in futures]

    assert [set(leases) for leases, _ in kept] == [
        {one.lease.id},
        {twice.lease.id},
        {other.lease.id, twice.lease.id},
        set(),
    ]
    assert [lost for _, lost in kept] == [[]] * 4
    # The second that names it is served after the others, by itself.
    assert len(committed) == 3
    row = dibs.row(twice.run.id)
    assert (row["progress"], row["leaseSeconds"]) == (2, 200)
    assert dibs.events(twice.run.id).count("started") == 1


def test_a_run_whose_row_is_locked_holds_up_its_own_renewal_and_no_other(
    dibs: Dibs, executor: Executor, dispatches: list[Dispatch], renew_together: Renewals
) -> None:
    named = [[held(each, executor)] for each in dispatches]
    with dibs.owner.transaction():
        dibs.sql('SELECT FROM "workflowRuns" WHERE id = %s FOR UPDATE', dispatches[41].run.id)
        with renew_together(*named) as futures:
            locked = futures.pop(41)
            kept = [renewed(future) for future in futures]
            before = locked.done()
            dibs.owner.execute("COMMIT")
            dibs.owner.execute("BEGIN")
            last = renewed(locked)

    expected = [([each.lease.id], []) for each in dispatches]
    assert (before, last) == (False, expected.pop(41))
    assert kept == expected


@pytest.fixture
def sessions(dibs: Dibs, executor: Executor, other: Executor) -> list[tuple[Executor, Dispatch]]:
    """Two processes of a fleet, each with a lease that it has not confirmed."""
    return [(one, dibs.dispatch(one)) for one in (executor, other)]


def says(dibs: Dibs, executor: Executor, *claiming: UUID) -> Reconciliation:
    return Reconciliation(executor.token, executor.session, claiming, dibs.now())


def test_a_heartbeat_whose_session_has_an_orphan_frees_it_and_only_that(
    dibs: Dibs,
    sessions: list[tuple[Executor, Dispatch]],
    stranger: Executor,
    renew_together: Renewals,
) -> None:
    (executor, orphan), (other, confirmed) = sessions
    theirs = dibs.dispatch(stranger)
    with (
        commits(dibs.database.leases) as committed,
        renew_together(
            [held(theirs, stranger)],
            ([held(confirmed, other)], says(dibs, other)),
            ([], says(dibs, executor)),
        ) as futures,
    ):
        answers = [future.result(WAIT_SECONDS) for future in futures]

    assert [answer.released for answer in answers] == [[], [], [orphan.run.id]]
    assert [answer.orphans_kept for answer in answers] == [False] * 3
    assert [renewed(future)[0] for future in futures] == [
        [theirs.lease.id],
        [confirmed.lease.id],
        [],
    ]
    assert dibs.state(orphan.run.id) == "pending"
    # The first's, the neighbours' and, by itself, the orphan's.
    assert len(committed) == 3


def test_what_one_session_names_or_waits_for_keeps_no_other_sessions_orphan(
    dibs: Dibs,
    executor: Executor,
    other: Executor,
    stranger: Executor,
    renew_together: Renewals,
) -> None:
    claims = [uuid4(), uuid4()]
    for _ in claims:
        dibs.pending()
    (mine,) = dibs.claim(executor, request_id=claims[0]).dispatches
    (theirs,) = dibs.claim(other, request_id=claims[1]).dispatches

    with renew_together(
        ([], says(dibs, executor)),
        ([], says(dibs, other, *claims)),
        ([held(mine, stranger)], says(dibs, stranger)),
    ) as futures:
        answers = [future.result(WAIT_SECONDS) for future in futures]

    assert [answer.released for answer in answers] == [[mine.run.id], [], []]
    # This one still waits for the answer that would tell it of its lease.
    assert dibs.row(theirs.run.id)["leaseId"] == theirs.lease.id


def test_orphans_that_may_not_be_freed_yet_are_told_to_their_own_session(
    dibs: Dibs, sessions: list[tuple[Executor, Dispatch]], renew_together: Renewals
) -> None:
    (executor, orphan), (other, confirmed) = sessions
    dibs.set_keeper(awake=False)
    with renew_together(
        ([held(confirmed, other)], says(dibs, other)), ([], says(dibs, executor))
    ) as futures:
        answers = [future.result(WAIT_SECONDS) for future in futures]

    assert [(answer.released, answer.orphans_kept) for answer in answers] == [
        ([], False),
        ([], True),
    ]
    assert dibs.state(orphan.run.id) == "loading"


def test_the_releases_of_a_hundred_requests_are_one_commit(
    dibs: Dibs, executor: Executor, dispatches: list[Dispatch], release_together: Releases
) -> None:
    reasons = ["draining", "cannot-execute"]
    named = [
        ([held(each, executor, request_id=str(number))], reasons[number % 2])
        for number, each in enumerate(dispatches)
    ]
    with commits(dibs.database.leases) as committed, release_together(*named) as futures:
        given_back = [released(future) for future in futures]

    # The first, which held up the others and then looked for its own, and theirs.
    assert len(committed) == 3
    assert given_back == [([each.run.id], []) for each in dispatches]
    for number, each in enumerate(dispatches):
        (event,) = dibs.sql(
            'SELECT "requestId", detail->>\'reason\' AS reason FROM "runEvents"'
            " WHERE \"runId\" = %s AND kind = 'released'",
            each.run.id,
        )
        assert event == {"requestId": str(number), "reason": reasons[number % 2]}
        assert dibs.state(each.run.id) == ["pending", "scheduled"][number % 2]


def test_a_release_that_is_no_plain_one_is_answered_its_own_among_a_hundred(
    dibs: Dibs,
    executor: Executor,
    stranger: Executor,
    dispatches: list[Dispatch],
    release_together: Releases,
) -> None:
    named = [[held(each, executor)] for each in dispatches]
    expected: list[Any] = [([each.run.id], []) for each in dispatches]
    dibs.release(executor, dispatches[40])
    named[20] = [held(dispatches[20], stranger)]
    named[21] = [HeldLease(executor.token, dispatches[21].run.id, uuid4())]
    named[22] = [nobodys(executor)]
    for number in (20, 21, 22, 40):
        expected[number] = gone(named[number][0])
    # One that is lost beside two that are not, in a request with another reason.
    named[60] = [*named[60], nobodys(executor), *named[61]]
    expected[60] = (
        [dispatches[60].run.id, dispatches[61].run.id],
        [named[60][1].lease_id],
    )
    named[61], expected[61] = [], ([], [])
    wishes = [(each, "draining" if number != 60 else "other") for number, each in enumerate(named)]

    with release_together(*wishes) as futures:
        answers = [released(future) for future in futures]

    assert [(sorted(runs), lost) for runs, lost in answers] == [
        (sorted(runs), lost) for runs, lost in expected
    ]
    assert [dibs.state(dispatches[number].run.id) for number in (20, 21)] == ["loading"] * 2


def test_a_lease_that_is_named_by_two_releases_is_given_back_once_and_both_are_told(
    dibs: Dibs, executor: Executor, dispatches: list[Dispatch], release_together: Releases
) -> None:
    one, twice, other = dispatches[:3]
    with release_together(
        [held(one, executor)],
        ([held(twice, executor)], "other"),
        [held(twice, executor), held(other, executor)],
    ) as futures:
        first, second, third = (released(future) for future in futures)

    assert (first, second) == (([one.run.id], []), ([twice.run.id], []))
    assert (sorted(third[0]), third[1]) == (sorted([twice.run.id, other.run.id]), [])
    assert dibs.events(twice.run.id).count("released") == 1


@pytest.mark.parametrize("order", [1, -1], ids=["holder-first", "stranger-first"])
def test_a_lease_that_a_stranger_names_beside_its_holder_is_lost_to_the_stranger_alone(
    dibs: Dibs, executor: Executor, stranger: Executor, release_together: Releases, order: int
) -> None:
    dispatch = dibs.dispatch(executor)
    with release_together(
        *[[held(dispatch, one)] for one in (executor, stranger)][::order]
    ) as futures:
        holders, strangers = (released(future) for future in futures[::order])

    assert holders == ([dispatch.run.id], [])
    assert strangers == ([], [dispatch.lease.id])


def test_a_run_whose_row_is_locked_holds_up_its_own_release_and_no_other(
    dibs: Dibs, executor: Executor, dispatches: list[Dispatch], release_together: Releases
) -> None:
    named = [[held(each, executor)] for each in dispatches]
    with dibs.owner.transaction():
        dibs.sql('SELECT FROM "workflowRuns" WHERE id = %s FOR UPDATE', dispatches[41].run.id)
        with release_together(*named) as futures:
            locked = futures.pop(41)
            given_back = [released(future) for future in futures]
            before = locked.done()
            dibs.owner.execute("COMMIT")
            dibs.owner.execute("BEGIN")
            last = released(locked)

    expected = [([each.run.id], []) for each in dispatches]
    assert (before, last) == (False, expected.pop(41))
    assert given_back == expected

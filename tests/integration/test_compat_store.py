"""What the adapter says of leases in the database: each guard by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection

from orchestrator.desk.compat_claims import RunName, claim, poll
from orchestrator.desk.compat_executors import Arrival, Asker, arrive
from orchestrator.desk.compat_reports import Told, report
from orchestrator.errors import LeaseLost
from orchestrator.store import compat_executors, compat_leases, compat_runs
from orchestrator.store.compat_runs import Length
from orchestrator.store.records import Dispatch
from orchestrator.store.transaction import transact
from tests.integration.blocking import waits_for_a_lock
from tests.integration.dibs import Dibs
from tests.integration.wishes import QUEUE, Executor

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
FOREST = Executor("forest")


def asker(name: str = "forest", *, address: str = HERE, queues: tuple[str, ...] = ("*",)) -> Asker:
    return Asker(name, f"key-{name}", queues, address, "request")


def handed(dibs: Dibs, *, polled: bool = True, executor: Executor = FOREST) -> Dispatch:
    """A run that one of the adapter's executors holds, and is registered with."""
    dibs.register(executor, slots=None)
    dispatch = dibs.dispatch(executor, lease_seconds=compat_leases.FIRST_SIGN_SECONDS)
    hand_over(dibs, dispatch, polled=polled)
    return dispatch


def hand_over(dibs: Dibs, dispatch: Dispatch, *, polled: bool = True) -> dict[UUID, int]:
    return transact(
        dibs.database.work,
        lambda connection: compat_runs.hand_over(
            connection,
            [(dispatch.run.id, dispatch.lease.id)],
            key_id="key",
            address=HERE,
            polled=polled,
        ),
    )


def age(dibs: Dibs, dispatch: Dispatch, seconds: float = 16) -> None:
    with dibs.owner.transaction():
        dibs.sql("SET LOCAL session_replication_role = replica")
        dibs.sql(
            'UPDATE "workflowRuns" SET "lockedAt" = "lockedAt" - make_interval(secs => %s)'
            " WHERE id = %s",
            seconds,
            dispatch.run.id,
        )


def dropped(
    dibs: Dibs, *, executor: str = "forest", address: str = HERE, session: UUID = FOREST.session
) -> list[UUID]:
    ended = transact(
        dibs.database.work,
        lambda connection: compat_leases.end_dropped(
            connection, executor=executor, session=session, address=address, request_id="r"
        ),
    )
    return [lease.run_id for lease in ended]


def number_of(dibs: Dibs, run_id: UUID) -> int:
    [row] = dibs.sql('SELECT number FROM "compatRuns" WHERE "runId" = %s', run_id)
    return int(row["number"])


def test_what_was_polled_and_is_old_has_been_dropped(dibs: Dibs) -> None:
    lost = handed(dibs)
    age(dibs, lost)

    assert dropped(dibs) == [lost.run.id]
    assert dibs.state(lost.run.id) == "scheduled"


def young(dibs: Dibs, lost: Dispatch) -> None:
    age(dibs, lost, -14)


def asleep(dibs: Dibs, _lost: Dispatch) -> None:
    dibs.set_keeper(awake=False)


def amnesty(dibs: Dibs, _lost: Dispatch) -> None:
    dibs.sql('UPDATE keeper SET "amnestySince" = clock_timestamp()')


def handed_elsewhere(dibs: Dibs, lost: Dispatch) -> None:
    dibs.sql('UPDATE "compatRuns" SET address = %s', ELSEWHERE)


def asked_for_and_signed(dibs: Dibs, lost: Dispatch) -> None:
    dibs.sql('UPDATE "compatRuns" SET polled = false')
    dibs.renew(FOREST, lost, lease_seconds=345)


def asked_for_and_silent_for_long(dibs: Dibs, lost: Dispatch) -> None:
    dibs.sql('UPDATE "compatRuns" SET polled = false')
    set_lengths(dibs, lost.run.id, lost.lease.id, 345)


def got_otherwise(dibs: Dibs, lost: Dispatch) -> None:
    dibs.sql('UPDATE "compatRuns" SET "leaseId" = gen_random_uuid()')


@pytest.mark.parametrize(
    "guard",
    [
        young,
        asleep,
        amnesty,
        handed_elsewhere,
        asked_for_and_signed,
        asked_for_and_silent_for_long,
        got_otherwise,
    ],
)
def test_nothing_else_has(dibs: Dibs, guard: Callable[[Dibs, Dispatch], None]) -> None:
    lost = handed(dibs)
    age(dibs, lost)
    guard(dibs, lost)

    assert dropped(dibs) == []


def test_of_which_a_step_was_reported_it_may_be_executing_the_next(dibs: Dibs) -> None:
    """Unless its process is another one."""
    lost = handed(dibs)
    age(dibs, lost)
    dibs.renew(FOREST, lost, lease_seconds=345)
    dibs.sql('UPDATE "compatRuns" SET "stepIndex" = "stepIndex" - 1')

    assert dropped(dibs) == []
    assert dropped(dibs, session=uuid4()) == [lost.run.id]


def test_what_another_holds_has_not(dibs: Dibs) -> None:
    """Though it says that it is the same process."""
    lost = handed(dibs, executor=Executor("forest-2", FOREST.session))
    dibs.register(FOREST)
    age(dibs, lost)

    assert dropped(dibs) == []
    assert dropped(dibs, executor="forest-2") == [lost.run.id]


def test_a_report_that_is_being_stored_is_not_waited_for(dibs: Dibs) -> None:
    """It is no dropped one."""
    held = handed(dibs)
    age(dibs, held)
    with dibs.owner.transaction():
        dibs.sql('SELECT FROM "workflowRuns" FOR UPDATE')

        assert dropped(dibs) == []


def set_lengths(dibs: Dibs, run_id: UUID, lease_id: UUID, seconds: int) -> None:
    transact(
        dibs.database.work,
        lambda connection: compat_runs.set_lengths(connection, [Length(run_id, lease_id, seconds)]),
    )


def test_only_a_lease_that_lives_is_lengthened(dibs: Dibs) -> None:
    held = handed(dibs)
    before = dibs.row(held.run.id)

    set_lengths(dibs, held.run.id, uuid4(), 345)

    assert dibs.row(held.run.id) == before
    set_lengths(dibs, held.run.id, held.lease.id, 345)
    after = dibs.row(held.run.id)
    assert after["leaseSeconds"] == 345
    assert (after["runState"], after["version"]) == (before["runState"], before["version"])


def test_a_lease_that_has_ended_is_not_handed_over(dibs: Dibs) -> None:
    """What is handed over is held."""
    first = handed(dibs)
    dibs.expire(first.run.id)
    dibs.tick()
    second, _ = dibs.claim_run(FOREST, first.run.id)
    numbers = hand_over(dibs, second)

    assert hand_over(dibs, first) == {}
    [row] = dibs.sql('SELECT number, "leaseId" FROM "compatRuns"')
    assert (row["number"], row["leaseId"]) == (numbers[first.run.id], second.lease.id)


def test_a_refusal_is_noted_of_the_same_executors_older_lease_alone(dibs: Dibs) -> None:
    held = handed(dibs)
    number, fence = number_of(dibs, held.run.id), held.lease.fence

    def refuse(token_name: str, step_index: int, fence: int) -> bool:
        def note(connection: Connection) -> bool:
            compat_runs.note_refused(
                connection, number, token_name=token_name, step_index=step_index, fence=fence
            )
            return compat_runs.was_refused(connection, number)

        return transact(dibs.database.work, note)

    assert not refuse("forest", 0, fence)
    assert not refuse("forest", 1, fence - 1)
    assert not refuse("forest-2", 0, fence - 1)
    assert refuse("forest", 0, fence - 1)
    dibs.sql('UPDATE "compatRuns" SET "leaseId" = gen_random_uuid()')
    assert not refuse("forest", 0, fence - 1)


def test_an_error_is_expected_once_and_not_for_long(dibs: Dibs) -> None:
    held = handed(dibs)
    number = number_of(dibs, held.run.id)

    def is_expected() -> bool:
        return transact(
            dibs.database.work, lambda connection: compat_runs.was_refused(connection, number)
        )

    dibs.sql('UPDATE "compatRuns" SET "refusedAt" = clock_timestamp()')
    assert [is_expected(), is_expected()] == [True, False]
    dibs.sql("""UPDATE "compatRuns" SET "refusedAt" = clock_timestamp() - interval '11 s'""")
    assert not is_expected()
    dibs.sql('UPDATE "compatRuns" SET "refusedAt" = clock_timestamp()')
    hand_over(dibs, held)
    assert not is_expected()


def sight(dibs: Dibs, address: str, *, starts: bool = False) -> compat_executors.Sighted | None:
    def note(connection: Connection) -> compat_executors.Sighted | None:
        return compat_executors.sight(
            connection, "forest", address=address, session=uuid4(), starts=starts
        )

    return transact(dibs.database.work, note)


@pytest.mark.parametrize(("seconds", "moves"), [(30, False), (61, True)])
def test_an_address_is_in_use_for_a_minute(dibs: Dibs, seconds: int, moves: bool) -> None:
    first = sight(dibs, HERE)
    dibs.sql(
        'UPDATE "compatExecutors" SET "seenAt" = "seenAt" - make_interval(secs => %s)', seconds
    )

    second = sight(dibs, ELSEWHERE, starts=True)

    assert first is not None
    assert (second is not None) is moves
    [row] = dibs.sql('SELECT * FROM "compatExecutors"')
    assert (row["address"], row["otherAddress"]) == (
        (ELSEWHERE, None) if moves else (HERE, ELSEWHERE)
    )
    assert (row["session"] != first.session) is moves


def test_a_session_lasts_until_the_next_start(dibs: Dibs) -> None:
    sessions = [sight(dibs, HERE, starts=starts) for starts in (False, False, True, False)]

    first, second, third, fourth = (each and each.session for each in sessions)
    assert first == second != third == fourth


def test_of_two_addresses_at_once_one_is_let_in(dibs: Dibs) -> None:
    let_in: list[bool] = []
    ready = threading.Barrier(2)

    def come(address: str) -> None:
        ready.wait()
        let_in.append(arrive(dibs.database, asker(address=address), Arrival.POLLS) is not None)

    threads = [threading.Thread(target=come, args=(one,)) for one in (HERE, ELSEWHERE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(let_in) == [False, True]


def test_a_week_away_it_is_registered_again(dibs: Dibs) -> None:
    arrive(dibs.database, asker(), Arrival.STARTED, version="1.24.0")
    dibs.sql("DELETE FROM executors")

    arrive(dibs.database, asker(), Arrival.POLLS)

    [row] = dibs.sql('SELECT "fullName", state FROM executors')
    assert (row["fullName"], row["state"]) == ("forest", "active")


def test_a_queue_that_it_polls_is_registered_once(dibs: Dibs) -> None:
    for _ in range(2):
        dibs.pending()
        assert len(poll(dibs.database, dibs.desk, asker(), limit=10)) == 1

    [row] = dibs.sql("SELECT queues FROM executors")
    assert row["queues"] == [QUEUE]


def test_a_run_that_is_being_claimed_by_another_is_waited_for(dibs: Dibs) -> None:
    run = dibs.pending()
    got: list[object] = []
    first = threading.Thread(
        target=lambda: got.append(claim(dibs.database, asker(), RunName(run_id=run.id)))
    )
    with dibs.owner.transaction():
        dibs.sql('SELECT FROM "workflowRuns" FOR UPDATE')
        first.start()
        assert waits_for_a_lock(dibs.owner)
        assert got == []
    first.join()

    assert got[0] is not None
    assert claim(dibs.database, asker("forest-2"), RunName(run_id=run.id)) is None


def test_a_lease_is_told_to_nobody_but_its_holder(dibs: Dibs) -> None:
    held = handed(dibs)
    number = number_of(dibs, held.run.id)

    def leases(name: str, step_index: int = 0) -> tuple[UUID | None, UUID | None]:
        def look(connection: Connection) -> tuple[UUID | None, UUID | None]:
            run = compat_runs.find(connection, number, token_name=name)
            reported = compat_runs.lease_that_reported(
                connection, held.run.id, token_name=name, step_index=step_index
            )
            return run and run.lease_id, reported

        return transact(dibs.database.work, look)

    assert leases("forest") == (held.lease.id, None)
    assert leases("forest-2") == (None, None)
    tell(dibs, number)
    assert leases("forest") == (None, held.lease.id)
    assert leases("forest", 1) == leases("forest-2") == (None, None)


def tell(dibs: Dibs, number: int, name: str = "forest") -> object:
    told = Told(number, 0, "success", b"h" * 32)
    return report(dibs.database, dibs.reports, asker(name), told)


def test_copies_of_a_report_at_once_store_one_outcome(dibs: Dibs) -> None:
    held = handed(dibs)
    number = number_of(dibs, held.run.id)
    answers: list[object] = []
    ready = threading.Barrier(4)

    def send() -> None:
        ready.wait()
        answers.append(tell(dibs, number))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [None] * 4
    assert dibs.events(held.run.id).count("reported") == 1


def test_a_lease_that_is_taken_while_a_report_is_on_its_way_is_lost(dibs: Dibs) -> None:
    held = handed(dibs)
    number = number_of(dibs, held.run.id)
    refused: list[type[Exception]] = []

    def send() -> None:
        try:
            tell(dibs, number)
        except LeaseLost as lost:
            refused.append(type(lost))

    thread = threading.Thread(target=send)
    with dibs.owner.transaction():
        dibs.expire(held.run.id)
        thread.start()
        assert waits_for_a_lock(dibs.owner)
        dibs.sql(
            """UPDATE "workflowRuns" SET "runState" = 'pending', "leaseId" = NULL,
                 "lockedBy" = NULL, "lockedSession" = NULL, "lockedAt" = NULL,
                 "leaseExpiresAt" = NULL, "leaseSeconds" = NULL, version = version + 1"""
        )
        dibs.sql(
            """INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState",
                 "leaseId", fence, executor, detail)
               SELECT "runId", seq + 1, 'revoked', clock_timestamp(), 'loading', 'pending',
                      "leaseId", fence, executor, '{}'
                 FROM "runEvents" WHERE "runId" = %s ORDER BY seq DESC LIMIT 1""",
            held.run.id,
        )
    thread.join()

    assert refused == [LeaseLost]
    assert dibs.state(held.run.id) == "pending"

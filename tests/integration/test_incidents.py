"""An executor that loses its leases time and again gets no more, and is told why."""

from __future__ import annotations

import pytest

from orchestrator.desk.empty_answers import OUT_OF_SERVICE_POLL_MS
from orchestrator.errors import RunNotClaimable
from orchestrator.lifecycle import MAX_INCIDENTS
from orchestrator.store.executors import OutOfService
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor

IN_QUARANTINE = OutOfService("quarantined", "Lost leases 5 times without a success in between.")


def lose(dibs: Dibs, executor: Executor, *, leases: int = 1) -> None:
    """Let an executor claim runs, and lose their leases in one tick."""
    lost = [dibs.dispatch(executor, max_crashes=100) for _ in range(leases)]
    for dispatch in lost:
        dibs.expire(dispatch.run.id)
    dibs.tick()
    for dispatch in lost:
        assert dibs.state(dispatch.run.id) == "pending"
        dibs.abort(dispatch.run.id)


def test_after_five_incidents_it_gets_no_claims_and_is_told_why(
    dibs: Dibs, executor: Executor
) -> None:
    for _ in range(MAX_INCIDENTS - 1):
        lose(dibs, executor)
    run = dibs.pending()
    assert len(dibs.claim(executor).dispatches) == 1
    dibs.expire(run.id)
    dibs.tick()

    answer = dibs.claim(executor, wait_seconds=20)

    assert (answer.dispatches, answer.out_of_service) == ((), IN_QUARANTINE)
    assert answer.next_poll_after_ms == OUT_OF_SERVICE_POLL_MS
    with pytest.raises(RunNotClaimable, match="fleet:one is quarantined") as no:
        dibs.claim_run(executor, run.id)
    assert no.value.members["gate"] == "executor-not-serving"
    assert dibs.state(run.id) == "pending"


def test_the_registry_shows_it_with_what_it_registered(dibs: Dibs, executor: Executor) -> None:
    dibs.register(executor)
    for _ in range(MAX_INCIDENTS):
        lose(dibs, executor)

    (row,) = dibs.sql("SELECT state, reason, slots FROM executors")
    assert (row["state"], row["reason"]) == (IN_QUARANTINE.state, IN_QUARANTINE.reason)
    assert row["slots"] == 4


def test_one_that_never_registered_is_listed_with_the_queues_that_it_lost(
    dibs: Dibs, executor: Executor
) -> None:
    for _ in range(MAX_INCIDENTS):
        lose(dibs, executor)

    (row,) = dibs.sql('SELECT "fullName", session, "tokenName", queues, state FROM executors')
    assert row == {
        "fullName": "fleet:one",
        "session": executor.session,
        "tokenName": "fleet",
        "queues": ["default"],
        "state": "quarantined",
    }


def test_all_leases_that_expire_in_one_tick_are_one_incident(
    dibs: Dibs, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many batches the keeper needs for them."""
    monkeypatch.setattr("orchestrator.desk.keeper.BATCH", 2)
    monkeypatch.setattr("orchestrator.desk.keeper.TICK_WORK_SECONDS", 60.0)
    lose(dibs, executor, leases=MAX_INCIDENTS * 2)

    assert dibs.sql("SELECT number FROM incidents") == [{"number": 1}]


def test_a_success_in_between_counts_from_none_again(dibs: Dibs, executor: Executor) -> None:
    for _ in range(MAX_INCIDENTS - 1):
        lose(dibs, executor)
    dispatch = dibs.dispatch(executor)
    dibs.tell(dispatch, executor, "success")
    for _ in range(MAX_INCIDENTS - 1):
        lose(dibs, executor)

    assert dibs.claim(executor).out_of_service is None


def test_an_error_in_between_does_not(dibs: Dibs, executor: Executor) -> None:
    for _ in range(MAX_INCIDENTS - 1):
        lose(dibs, executor)
    dispatch = dibs.dispatch(executor)
    dibs.tell(dispatch, executor, "error", message="no answer")
    lose(dibs, executor)

    assert dibs.claim(executor).out_of_service == IN_QUARANTINE


def test_a_success_of_another_process_of_its_name_is_not_its_own(
    dibs: Dibs, executor: Executor
) -> None:
    twin = Executor(executor.name)
    for _ in range(MAX_INCIDENTS - 1):
        lose(dibs, executor)
    dibs.tell(dibs.dispatch(twin), twin, "success")
    lose(dibs, executor)

    assert dibs.claim(executor).out_of_service == IN_QUARANTINE
    assert dibs.claim(twin).out_of_service is None


def test_an_operator_resumes_it_and_its_incidents_are_forgotten(
    dibs: Dibs, executor: Executor
) -> None:
    for _ in range(MAX_INCIDENTS):
        lose(dibs, executor)
    dibs.set_executor(executor, "active")
    lose(dibs, executor)
    run = dibs.pending()

    assert [each.run.id for each in dibs.claim(executor).dispatches] == [run.id]


def test_a_new_session_is_not_in_quarantine(dibs: Dibs, executor: Executor) -> None:
    for _ in range(MAX_INCIDENTS):
        lose(dibs, executor)
    restarted = Executor(executor.name)
    dibs.register(restarted)
    run = dibs.pending()

    assert [each.run.id for each in dibs.claim(restarted).dispatches] == [run.id]
    dibs.register(executor)
    assert dibs.claim(executor).out_of_service == IN_QUARANTINE


def test_what_an_operator_said_of_it_stays(dibs: Dibs, executor: Executor) -> None:
    dibs.register(executor)
    for number in range(MAX_INCIDENTS):
        dispatch = dibs.dispatch(executor, max_crashes=100)
        if number == MAX_INCIDENTS - 1:
            dibs.set_executor(executor, "draining")
        dibs.expire(dispatch.run.id)
        dibs.tick()
        dibs.abort(dispatch.run.id)

    assert dibs.claim(executor).out_of_service == OutOfService("draining", None)


def test_a_poison_run_is_listed_with_the_executors_that_lost_it(
    dibs: Dibs, executor: Executor, other: Executor, stranger: Executor
) -> None:
    run = dibs.pending(max_crashes=3)
    for holder in (stranger, executor, other, executor):
        dibs.claim_run(holder, run.id)
        dibs.expire(run.id)
        dibs.tick()
        if holder is stranger:
            # What came before an operator's retry is not counted any more.
            dibs.sql('UPDATE "workflowRuns" SET crashes = 0')

    error = dibs.row(run.id)["error"]
    assert error == {
        "code": "crashed-too-often",
        "stepIndex": 0,
        "executors": ["fleet:one", "fleet:two"],
        "message": "The lease expired 3 times; the last holder was fleet:one.",
    }


def test_who_shares_a_session_with_another_is_counted_by_itself(
    dibs: Dibs, executor: Executor, stranger: Executor
) -> None:
    """A session is what an executor says: another token may say the same."""
    namesake = Executor(stranger.name, session=executor.session)
    for _ in range(MAX_INCIDENTS):
        lose(dibs, executor)
        lose(dibs, namesake)
    dibs.tell(dibs.dispatch(stranger), stranger, "success")

    assert dibs.claim(executor).out_of_service == IN_QUARANTINE
    assert dibs.claim(namesake).out_of_service == IN_QUARANTINE

"""What a process asked before it lost a lease gets nothing: it is presumed dead."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from orchestrator.desk.wishes import ClaimAnswer
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor


@pytest.fixture
def askers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as askers:
        yield askers


def park(dibs: Dibs, executor: Executor, askers: ThreadPoolExecutor) -> Future[ClaimAnswer]:
    """A claim that has found nothing and waits."""
    parked = askers.submit(dibs.claim, executor, limit=5, wait_seconds=20)
    while not dibs.desk.parked and not parked.done():
        pass
    return parked


def test_a_parked_claim_of_a_process_that_lost_a_lease_does_not_get_the_run_back(
    dibs: Dibs, executor: Executor, askers: ThreadPoolExecutor
) -> None:
    dispatch = dibs.dispatch(executor)
    parked = park(dibs, executor, askers)
    dibs.expire(dispatch.run.id)
    dibs.tick()

    assert parked.result().dispatches == ()
    assert dibs.row(dispatch.run.id)["attempt"] == 1
    assert dibs.state(dispatch.run.id) == "pending"


def test_a_parked_claim_of_another_process_gets_it(
    dibs: Dibs, executor: Executor, askers: ThreadPoolExecutor
) -> None:
    dispatch = dibs.dispatch(executor)
    parked = park(dibs, Executor("fleet:two"), askers)
    dibs.expire(dispatch.run.id)
    dibs.tick()

    assert [each.run.id for each in parked.result().dispatches] == [dispatch.run.id]


def test_a_request_that_comes_after_the_loss_is_a_sign_of_life(
    dibs: Dibs, executor: Executor, askers: ThreadPoolExecutor
) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.expire(dispatch.run.id)
    dibs.tick()
    at_once = dibs.claim(executor, limit=1)
    parked = park(dibs, executor, askers)
    run = dibs.pending()

    assert [each.run.id for each in at_once.dispatches] == [dispatch.run.id]
    assert [each.run.id for each in parked.result().dispatches] == [run.id]


def test_a_loss_noted_before_the_clock_stepped_back_says_nothing(
    dibs: Dibs, executor: Executor, askers: ThreadPoolExecutor
) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.expire(dispatch.run.id)
    dibs.tick()
    dibs.claim(executor, limit=1)
    dibs.sql("UPDATE incidents SET at = clock_timestamp() + interval '10 minutes'")
    parked = park(dibs, executor, askers)
    run = dibs.pending()

    assert [each.run.id for each in parked.result().dispatches] == [run.id]


def test_a_loss_of_another_under_the_same_session_says_nothing(
    dibs: Dibs, executor: Executor, stranger: Executor, askers: ThreadPoolExecutor
) -> None:
    namesake = Executor(stranger.name, session=executor.session)
    lost = dibs.dispatch(namesake)
    parked = park(dibs, executor, askers)
    dibs.expire(lost.run.id)
    dibs.tick()

    assert [each.run.id for each in parked.result().dispatches] == [lost.run.id]

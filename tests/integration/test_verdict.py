"""What becomes of a run whose lease ends without a report, however it ends."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from orchestrator.store import endings
from orchestrator.store.records import Dispatch
from orchestrator.store.transaction import transact
from tests.integration.dibs import Dibs
from tests.integration.face import Face
from tests.integration.wishes import Executor

Ending = Callable[[Dibs, Executor, Dispatch], None]


def expiry(dibs: Dibs, executor: Executor, dispatch: Dispatch) -> None:
    dibs.expire(dispatch.run.id)
    dibs.tick()


def release(dibs: Dibs, executor: Executor, dispatch: Dispatch) -> None:
    dibs.release(executor, dispatch)


def unwanted_release(dibs: Dibs, executor: Executor, dispatch: Dispatch) -> None:
    dibs.release(executor, dispatch, reason="out of memory")


def orphan_release(dibs: Dibs, executor: Executor, dispatch: Dispatch) -> None:
    dibs.reconcile(executor, as_of=dibs.now())


def replacement(dibs: Dibs, executor: Executor, dispatch: Dispatch) -> None:
    successor = Executor(executor.name)
    transact(
        dibs.database.leases,
        lambda connection: endings.release_replaced(
            connection,
            executor=successor.name,
            session=successor.session,
            request_id=None,
            actor=successor.token,
        ),
    )


WAYS = {
    "expired": (expiry, "pending", 1),
    "released": (release, "pending", 0),
    "unwanted": (unwanted_release, "scheduled", 0),
    "orphaned": (orphan_release, "pending", 0),
    "replaced": (replacement, "pending", 1),
}
EVERY_WAY = pytest.mark.parametrize("way", WAYS)
# An orphan is a lease that nobody confirmed, and a begun step confirms it.
EVERY_WAY_OF_A_BEGUN_ONE = pytest.mark.parametrize("way", sorted(set(WAYS) - {"orphaned"}))


@EVERY_WAY
def test_a_run_comes_back_and_pays_only_for_a_crash(
    dibs: Dibs, executor: Executor, way: str
) -> None:
    end, state, crashes = WAYS[way]
    dispatch = dibs.dispatch(executor)
    end(dibs, executor, dispatch)

    row = dibs.row(dispatch.run.id)
    assert (row["runState"], row["leaseId"]) == (state, None)
    assert (row["crashes"], row["failures"]) == (crashes, 0)
    assert row["fence"] == dispatch.lease.fence
    kind = "released" if way == "unwanted" else way
    assert dibs.events(dispatch.run.id) == ["created", "claimed", kind]


@EVERY_WAY
def test_a_run_whose_abort_was_requested_is_aborted(
    dibs: Dibs, executor: Executor, way: str
) -> None:
    dispatch = dibs.dispatch(executor)
    dibs.abort(dispatch.run.id)
    WAYS[way][0](dibs, executor, dispatch)

    assert dibs.state(dispatch.run.id) == "aborted"


@EVERY_WAY_OF_A_BEGUN_ONE
def test_a_begun_mutating_step_is_never_run_again_by_itself(
    dibs: Dibs, executor: Executor, way: str
) -> None:
    begun = dibs.begun(executor)
    WAYS[way][0](dibs, executor, begun)

    row = dibs.row(begun.run.id)
    assert (row["runState"], row["waitingFor"]) == ("waiting", {"reason": "outcome-unknown"})
    assert row["mutatingSince"] is None
    assert dibs.sql('SELECT state FROM "workflowSteps"') == [{"state": "unknown"}]
    assert dibs.claim(executor).dispatches == ()


@EVERY_WAY_OF_A_BEGUN_ONE
def test_a_begun_mutating_step_outweighs_an_abort_which_stays_and_is_shown(
    dibs: Dibs, executor: Executor, way: str
) -> None:
    begun = dibs.begun(executor)
    dibs.abort(begun.run.id)
    WAYS[way][0](dibs, executor, begun)

    row = dibs.row(begun.run.id)
    assert row["runState"] == "waiting"
    assert row["abortRequestedAt"] is not None


@pytest.mark.parametrize("way", ["expired", "replaced"])
def test_the_last_crash_of_the_budget_fails_the_run(
    dibs: Dibs, executor: Executor, way: str
) -> None:
    run_id = dibs.pending(max_crashes=2).id
    for _ in range(2):
        dispatch, _ = dibs.claim_run(executor, run_id)
        WAYS[way][0](dibs, executor, dispatch)

    row = dibs.row(run_id)
    assert (row["runState"], row["crashes"]) == ("failed", 2)
    assert row["error"]["code"] == "crashed-too-often"
    assert executor.name in row["error"]["message"]


def test_draining_releases_never_fail_a_run(dibs: Dibs, executor: Executor) -> None:
    run_id = dibs.pending(max_crashes=1).id
    for _ in range(25):
        dibs.release(executor, dibs.claim_run(executor, run_id)[0])

    assert dibs.state(run_id) == "pending"


def test_other_releases_wait_twice_as_long_each_time_up_to_a_minute(
    dibs: Dibs, executor: Executor
) -> None:
    run_id = dibs.pending().id

    pauses = [pause_after_release(dibs, executor, run_id, "out of memory") for _ in range(8)]

    assert [round(pause) for pause in pauses] == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(
    ("reason", "known_elsewhere", "code"),
    [
        ("out of memory", True, "released-too-often"),
        ("no-handler", True, "released-too-often"),
        ("no-handler", False, "no-handler"),
    ],
)
def test_the_twentieth_release_in_a_row_fails_the_run(
    dibs: Dibs, executor: Executor, reason: str, known_elsewhere: bool, code: str
) -> None:
    dibs.register(executor, step_types=("refund",) if known_elsewhere else ("other",))
    run_id = dibs.pending().id
    for _ in range(19):
        pause_after_release(dibs, executor, run_id, reason)
    assert dibs.state(run_id) == "pending"

    dibs.release(executor, dibs.claim_run(executor, run_id)[0], reason=reason)

    row = dibs.row(run_id)
    assert (row["runState"], row["error"]["code"]) == ("failed", code)


def test_a_report_ends_the_row_of_releases(dibs: Dibs, executor: Executor) -> None:
    run_id = dibs.pending().id
    pause_after_release(dibs, executor, run_id, "out of memory")
    dispatch, _ = dibs.claim_run(executor, run_id)

    dibs.tell(dispatch, executor, "error", message="no")

    assert dibs.row(run_id)["releases"] == 0


def test_a_replaced_executor_loses_only_its_own_older_sessions(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    lost, kept = dibs.dispatch(executor), dibs.dispatch(other)
    replacement(dibs, executor, lost)

    assert dibs.state(lost.run.id) == "pending"
    assert dibs.renew(other, kept).lost == []


def test_a_late_copy_of_a_registration_takes_nothing_from_its_successor(face: Face) -> None:
    """It says again that no other process of its name lives, and one does by now."""
    old, new = str(uuid4()), str(uuid4())
    face.register(old, replaces="others")
    face.register(new, replaces="others")
    dispatch = face.hold(face.create("refund")["id"], executor="one", session=new)

    face.register(old, replaces="others")

    assert face.row(dispatch["run"]["id"])["leaseId"] is not None


def pause_after_release(dibs: Dibs, executor: Executor, run_id: UUID, reason: str) -> float:
    """Claim, release, and wait no longer than the test must: the pause in seconds."""
    dispatch, _ = dibs.claim_run(executor, run_id)
    before = dibs.now()
    dibs.release(executor, dispatch, reason=reason)
    pause: float = (dibs.row(run_id)["availableAt"] - before).total_seconds()
    dibs.make_due(run_id)
    dibs.tick()
    return pause

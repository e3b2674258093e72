"""The database's clock jumps by ten minutes: nobody alive loses a lease, nobody dead keeps one."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from orchestrator.store import endings, keeper
from orchestrator.store.transaction import transact
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor

JUMP_SECONDS = 600
LEASE_SECONDS = 200
# Longer than a busy machine takes from one line of a test to the next.
MARGIN_SECONDS = 60

# Every time that was written before the jump, as the new clock sees it.
STEPPED = """
WITH stepped AS (SELECT make_interval(secs => %s) AS by),
  runs AS (UPDATE "workflowRuns" SET "leaseExpiresAt" = "leaseExpiresAt" - by,
      "abortRequestedAt" = "abortRequestedAt" - by FROM stepped),
  lost AS (UPDATE incidents SET at = at - by FROM stepped)
UPDATE keeper SET "lastTickAt" = "lastTickAt" - by, "amnestySince" = "amnestySince" - by,
    "prunedAt" = "prunedAt" - by FROM stepped
"""


def jump(dibs: Dibs, seconds: float) -> None:
    """Let the clock have jumped; back when negative."""
    dibs.sql(STEPPED, seconds)


def pass_time(dibs: Dibs, seconds: float) -> None:
    """Let time have passed with the keeper awake all the while."""
    dibs.sql(STEPPED, seconds)
    dibs.sql(
        "UPDATE keeper SET \"lastTickAt\" = clock_timestamp() - interval '1 s',"
        ' "prunedAt" = clock_timestamp()'
    )
    dibs.beat()


def seconds_left(dibs: Dibs, run_id: UUID) -> float:
    (row,) = dibs.sql(
        'SELECT extract(epoch FROM "leaseExpiresAt" - clock_timestamp())::float8 AS seconds'
        ' FROM "workflowRuns" WHERE id = %s',
        run_id,
    )
    return float(row["seconds"])


@pytest.mark.parametrize("by", [JUMP_SECONDS, -JUMP_SECONDS])
def test_whoever_renews_keeps_what_he_holds_and_nothing_is_taken_meanwhile(
    dibs: Dibs, executor: Executor, by: int
) -> None:
    alive = [dibs.dispatch(executor, lease_seconds=LEASE_SECONDS) for _ in range(5)]
    jump(dibs, by)

    dibs.beat()
    renewed = dibs.renew(executor, *alive)
    pass_time(dibs, LEASE_SECONDS - MARGIN_SECONDS)
    again = dibs.renew(executor, *alive)
    pass_time(dibs, LEASE_SECONDS - MARGIN_SECONDS)

    assert (len(renewed.renewed), len(again.renewed)) == (5, 5)
    for dispatch in alive:
        row = dibs.row(dispatch.run.id)
        assert (row["leaseId"], row["crashes"]) == (dispatch.lease.id, 0)


@pytest.mark.fault("F33")
def test_forward_the_dead_lose_their_runs_one_lease_after_the_jump_and_not_before(
    dibs: Dibs, executor: Executor
) -> None:
    dead = dibs.dispatch(executor, lease_seconds=LEASE_SECONDS)
    jump(dibs, JUMP_SECONDS)

    dibs.beat()
    pass_time(dibs, LEASE_SECONDS - MARGIN_SECONDS)
    spared = dibs.state(dead.run.id)
    pass_time(dibs, 2 * MARGIN_SECONDS)

    assert spared == "loading"
    assert dibs.state(dead.run.id) == "pending"


@pytest.mark.fault("F34")
def test_back_the_dead_lose_their_runs_two_leases_after_the_jump(
    dibs: Dibs, executor: Executor
) -> None:
    dead = dibs.dispatch(executor, lease_seconds=LEASE_SECONDS)
    jump(dibs, -JUMP_SECONDS)
    before = seconds_left(dibs, dead.run.id)
    with capture_logs() as logs:
        dibs.beat()
    capped = seconds_left(dibs, dead.run.id)
    pass_time(dibs, 2 * LEASE_SECONDS)

    assert before > JUMP_SECONDS
    assert LEASE_SECONDS < capped <= 2 * LEASE_SECONDS
    assert [line["event"] for line in logs] == ["amnesty_began", "expiries_capped"]
    assert dibs.state(dead.run.id) == "pending"


def test_back_by_less_than_a_lease_changes_no_expiry(dibs: Dibs, executor: Executor) -> None:
    dispatch = dibs.dispatch(executor, lease_seconds=3600)
    jump(dibs, -JUMP_SECONDS)
    before = dibs.row(dispatch.run.id)["leaseExpiresAt"]
    dibs.beat()

    assert dibs.row(dispatch.run.id)["leaseExpiresAt"] == before


def test_back_an_aborted_run_ends_as_soon_as_without_the_jump(
    dibs: Dibs, executor: Executor
) -> None:
    dispatch = dibs.dispatch(executor, lease_seconds=LEASE_SECONDS)
    dibs.abort(dispatch.run.id)
    jump(dibs, -JUMP_SECONDS)
    dibs.beat()
    pass_time(dibs, LEASE_SECONDS - MARGIN_SECONDS)
    # It hears that it shall stop, and renews all the same.
    dibs.renew(executor, dispatch)
    pass_time(dibs, 2 * MARGIN_SECONDS)

    assert dibs.state(dispatch.run.id) == "aborted"


def test_a_lease_that_was_locked_when_the_jump_was_noticed_is_capped_at_the_next_tick(
    dibs: Dibs, executor: Executor
) -> None:
    locked, free = (dibs.dispatch(executor, lease_seconds=LEASE_SECONDS) for _ in range(2))
    jump(dibs, -JUMP_SECONDS)

    with dibs.owner.transaction():
        dibs.owner.execute('SELECT FROM "workflowRuns" WHERE id = %s FOR UPDATE', [locked.run.id])
        dibs.beat()
    seen = [seconds_left(dibs, each.run.id) > 2 * LEASE_SECONDS for each in (locked, free)]
    dibs.tick()

    assert seen == [True, False]
    assert seconds_left(dibs, locked.run.id) <= 2 * LEASE_SECONDS


@pytest.mark.fault("F33")
def test_forward_nothing_is_taken_between_the_jump_and_the_tick_that_notices_it(
    dibs: Dibs, executor: Executor
) -> None:
    """A keeper that has ticked before the jump does its duties after it."""
    dispatch = dibs.dispatch(executor, lease_seconds=LEASE_SECONDS)
    dibs.beat()
    jump(dibs, JUMP_SECONDS)

    expire = partial(endings.expire, since=dibs.now(), limit=5)
    taken = transact(dibs.database.leases, expire)

    assert taken == []
    assert dibs.row(dispatch.run.id)["leaseId"] == dispatch.lease.id


def test_back_pruning_does_not_wait_until_the_clock_has_caught_up(dibs: Dibs) -> None:
    def prune_is_due() -> bool:
        beat = partial(keeper.tick, every_seconds=0.0, prune_every_seconds=60)
        tick = transact(dibs.database.leases, beat)
        return tick is not None and tick.prune_is_due

    before = prune_is_due()
    jump(dibs, -JUMP_SECONDS)

    assert [before, prune_is_due(), prune_is_due()] == [False, True, False]


def test_back_a_heartbeat_from_before_the_jump_frees_nothing(
    dibs: Dibs, executor: Executor
) -> None:
    """The claim was sent after the heartbeat was composed, and granted before it came."""
    as_of = dibs.now() + timedelta(seconds=JUMP_SECONDS)
    dispatch = dibs.dispatch(executor)

    assert dibs.reconcile(executor, as_of=as_of) == []
    assert dibs.state(dispatch.run.id) == "loading"

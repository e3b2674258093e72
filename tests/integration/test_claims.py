"""Claims by poll: who gets which runs, and who gets none."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import orjson
import pytest
from psycopg import sql

from orchestrator.lifecycle import RunState
from orchestrator.store import claims
from orchestrator.store.claims import ClaimWish
from orchestrator.store.transaction import transact
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor, claim_wish


def deal(dibs: Dibs, *wishes: ClaimWish) -> list[claims.Dealt]:
    return transact(
        dibs.database.work, lambda connection: claims.claim(connection, "default", wishes).dealt
    )


def test_a_claim_leases_pending_runs_in_the_order_they_were_created(
    dibs: Dibs, executor: Executor
) -> None:
    created = [dibs.pending().id for _ in range(5)]

    answer = dibs.claim(executor, limit=3)

    assert [dispatch.run.id for dispatch in answer.dispatches] == created[:3]
    assert not answer.replayed
    assert [dibs.state(run_id) for run_id in created] == ["loading"] * 3 + ["pending"] * 2


def test_a_dispatch_holds_the_lease_that_the_row_has(dibs: Dibs, executor: Executor) -> None:
    dibs.pending()

    (dispatch,) = dibs.claim(executor, lease_seconds=77).dispatches

    row = dibs.row(dispatch.run.id)
    assert row["leaseId"] == dispatch.lease.id
    assert row["fence"] == dispatch.lease.fence > 1_700_000_000_000
    assert row["leaseExpiresAt"] == dispatch.lease.expires_at
    assert row["leaseSeconds"] == dispatch.lease.seconds == 77
    assert (row["lockedBy"], row["lockedSession"]) == (executor.name, executor.session)
    assert row["attempt"] == 1
    assert dibs.events(dispatch.run.id) == ["created", "claimed"]


@pytest.mark.parametrize("way", ["poll", "id"])
def test_a_fence_grows_also_when_the_last_one_is_ahead_of_the_clock(
    dibs: Dibs, executor: Executor, way: str
) -> None:
    """As after the clock stepped back, or within a millisecond."""
    run = dibs.pending()
    (ahead,) = dibs.sql(
        """UPDATE "workflowRuns" SET fence = extract(epoch FROM now()) * 1000 + 600000
            WHERE id = %s RETURNING fence""",
        run.id,
    )

    dispatch = (
        dibs.claim(executor).dispatches[0] if way == "poll" else dibs.claim_run(executor, run.id)[0]
    )

    assert dispatch.lease.fence == ahead["fence"] + 1


def test_a_held_run_is_given_to_nobody_else(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    dibs.dispatch(executor)

    answer = dibs.claim(other, limit=10)

    assert answer.dispatches == ()
    assert answer.next_poll_after_ms > 0


def test_a_held_run_takes_nobodys_place(dibs: Dibs, executor: Executor, other: Executor) -> None:
    dibs.dispatch(executor)
    run = dibs.pending()

    assert [each.run.id for each in dibs.claim(other).dispatches] == [run.id]


def test_a_higher_priority_goes_first_and_a_low_one_waits_a_bounded_time(
    dibs: Dibs, executor: Executor
) -> None:
    low, plain, high = (dibs.pending(priority=priority).id for priority in (-1, 0, 1))
    dibs.sql(
        'UPDATE "workflowRuns" SET "claimKey" = "claimKey" - interval \'3 minutes\' WHERE id = %s',
        low,
    )

    answer = dibs.claim(executor, limit=3)

    assert [dispatch.run.id for dispatch in answer.dispatches] == [low, high, plain]


def test_nobody_gets_a_second_run_before_everybody_has_a_first(
    dibs: Dibs, executor: Executor, other: Executor, stranger: Executor
) -> None:
    for _ in range(5):
        dibs.pending()

    dealt = deal(
        dibs,
        claim_wish(executor, limit=4),
        claim_wish(other, limit=4),
        claim_wish(stranger, limit=1),
    )

    assert [each.wish for each in dealt] == [0, 1, 2, 0, 1]
    assert [each.dispatch.run.locked_by for each in dealt] == [
        executor.name,
        other.name,
        stranger.name,
        executor.name,
        other.name,
    ]


def test_a_claim_never_gets_more_than_its_limit(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    for _ in range(9):
        dibs.pending()

    dealt = deal(dibs, claim_wish(executor, limit=2), claim_wish(other, limit=5))

    assert sorted(each.wish for each in dealt) == [0, 0, 1, 1, 1, 1, 1]
    assert dibs.sql("""SELECT count(*) FROM "workflowRuns" WHERE "runState" = 'pending'""") == [
        {"count": 2}
    ]


# No run is pending while the table is analysed: then the planner takes a backlog for one run.
QUIET = """
ALTER TABLE "workflowRuns" SET (autovacuum_enabled = false);
SET session_replication_role = replica;
INSERT INTO "workflowRuns" (id, workflow, queue, "stepQueue", "runState", priority, "availableAt",
  "claimKey", "stepIndex", "stepName", "stepType", input, attempt, failures, crashes, releases,
  "maxFailures", "maxCrashes", fence, "createdBy", "createdAt", "finishedAt", version)
SELECT gen_random_uuid(), 'refund', 'default', 'default', 'finished', 0, now(), now(), 0, 'refund',
       'refund', '{}', 0, 0, 0, 0, 3, 3, 0, 'web', now(), now(), 1
  FROM generate_series(1, 2000);
ANALYZE "workflowRuns";
DELETE FROM "workflowRuns";
RESET session_replication_role;
"""
NESTED_LOOPS = ("enable_hashjoin", "enable_mergejoin", "enable_material")


@pytest.mark.parametrize("switched_off", [(), NESTED_LOOPS], ids=["any", "nested-loops"])
def test_a_claim_gets_no_more_than_its_limit_whatever_the_plan(
    dibs: Dibs, database: Database, executor: Executor, switched_off: Sequence[str]
) -> None:
    """A plan may look for what it claims once for each run of the backlog."""
    dibs.owner.execute(QUIET)
    for name in switched_off:
        dibs.owner.execute(
            sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = off").format(
                sql.Identifier(database.service_role),
                sql.Identifier(dibs.owner.info.dbname),
                sql.Identifier(name),
            )
        )
    for _ in range(9):
        dibs.pending()

    claimed = dibs.claim(executor, limit=2).dispatches

    assert len(claimed) == 2
    assert dibs.sql("""SELECT count(*) FROM "workflowRuns" WHERE "runState" = 'pending'""") == [
        {"count": 7}
    ]


def test_a_claim_stops_handing_out_when_its_answer_is_full(
    dibs: Dibs, executor: Executor, other: Executor
) -> None:
    for _ in range(6):
        dibs.pending(input='"' + "x" * 1000 + '"')

    dealt = deal(dibs, claim_wish(executor, limit=3, answer_bytes=3000), claim_wish(other, limit=3))

    assert sorted(each.wish for each in dealt) == [0, 0, 1, 1, 1]
    assert dibs.sql("""SELECT count(*) FROM "workflowRuns" WHERE "runState" = 'pending'""") == [
        {"count": 1}
    ]


def test_an_answer_of_several_queues_has_one_bound_for_all(dibs: Dibs, executor: Executor) -> None:
    for queue in ("a", "b"):
        for _ in range(30):
            dibs.pending(queue=queue, input='"' + "x" * 250_000 + '"')

    answer = dibs.claim(executor, limit=60, queues=("a", "b"))

    # The answer has each input twice: as the run's and as the step's.
    size = sum(2 * len(orjson.dumps(dispatch.run.input)) for dispatch in answer.dispatches)
    assert claims.ANSWER_BYTES < size < claims.ANSWER_BYTES + 4 * 250_010
    assert len(answer.dispatches) < 60


def test_queues_take_turns_at_being_asked_first(dibs: Dibs, executor: Executor) -> None:
    for queue in ("a", "b"):
        for _ in range(2):
            dibs.pending(queue=queue)

    asked = [dibs.claim(executor, queues=("a", "b")).dispatches[0].run.queue for _ in range(2)]

    assert sorted(asked) == ["a", "b"]


def test_only_the_wished_queues_are_claimed_from(dibs: Dibs, executor: Executor) -> None:
    dibs.pending(queue="billing")

    answer = dibs.claim(executor, queues=("default", "bill"))

    assert answer.dispatches == ()


def test_a_run_that_is_not_due_is_not_claimed(dibs: Dibs, executor: Executor) -> None:
    run = dibs.pending(available_at=dibs.now().replace(year=2099))

    answer = dibs.claim(executor)

    assert (run.run_state, answer.dispatches) == (RunState.SCHEDULED, ())


def test_a_row_that_another_transaction_holds_is_skipped_not_waited_for(
    dibs: Dibs, executor: Executor
) -> None:
    first, second = dibs.pending(), dibs.pending()

    with dibs.owner.transaction():
        dibs.sql('SELECT FROM "workflowRuns" WHERE id = %s FOR UPDATE', first.id)
        answer = dibs.claim(executor, limit=2)

    assert [dispatch.run.id for dispatch in answer.dispatches] == [second.id]


def test_a_wish_that_may_wait_gets_what_comes_meanwhile(dibs: Dibs, executor: Executor) -> None:
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(dibs.claim(executor, wait_seconds=20)))
    began = time.monotonic()
    waiting.start()
    run = dibs.pending()
    waiting.join(10)

    assert [dispatch.run.id for dispatch in answers[0].dispatches] == [run.id]
    assert time.monotonic() - began < 5


def test_a_wish_that_waits_is_answered_empty_when_the_process_drains(
    dibs: Dibs, executor: Executor
) -> None:
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(dibs.claim(executor, wait_seconds=20)))
    waiting.start()
    dibs.draining.set()
    waiting.join(5)

    assert [answer.dispatches for answer in answers] == [()]

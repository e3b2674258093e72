"""Pruning: over runs go with their steps and events, after their time, and nothing else does."""

from __future__ import annotations

from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor

TABLES = ("workflowRuns", "workflowSteps", "runEvents")


def counts(dibs: Dibs) -> list[int]:
    return [dibs.sql(f'SELECT count(*) FROM "{table}"')[0]["count"] for table in TABLES]


def age(dibs: Dibs, *, days: int) -> None:
    """Let every run have been created and been over so many days ago."""
    dibs.owner.execute(
        f"""
        SET session_replication_role = replica;
        UPDATE "workflowRuns" SET "finishedAt" = "finishedAt" - interval '{days} days';
        UPDATE "workflowRuns" r SET id = n.id FROM (
          SELECT id AS was, (lpad(to_hex((extract(epoch FROM now() - interval '{days} days')
            * 1000)::bigint), 12, '0') || substr(replace(id::text, '-', ''), 13))::uuid AS id
            FROM "workflowRuns") n WHERE r.id = n.was;
        UPDATE "runEvents" e SET "runId" = r.id FROM "workflowRuns" r
         WHERE right(r.id::text, 22) = right(e."runId"::text, 22);
        UPDATE "workflowSteps" s SET "runId" = r.id FROM "workflowRuns" r
         WHERE right(r.id::text, 22) = right(s."runId"::text, 22);
        SET session_replication_role = origin""".encode()
    )


def one_of_each(dibs: Dibs, executor: Executor) -> None:
    """A pending, a held, a waiting run, and one that is finished, failed and aborted each."""
    dibs.pending()
    dibs.dispatch(executor)
    dibs.tell(
        dibs.dispatch(executor), executor, "awaiting-input", waiting_for='{"reason": "input"}'
    )
    dibs.tell(dibs.dispatch(executor), executor, "success")
    dibs.tell(dibs.dispatch(executor), executor, "error", message="no", retryable=False)
    dibs.abort(dibs.pending().id)


def test_only_what_has_been_over_for_long_enough_goes(dibs: Dibs, executor: Executor) -> None:
    one_of_each(dibs, executor)
    age(dibs, days=31)
    dibs.set_keeper(awake=True, prune_is_due=True)
    dibs.tick(retention_days=30)

    states = dibs.sql('SELECT "runState" AS state FROM "workflowRuns" ORDER BY state')
    assert [row["state"] for row in states] == ["loading", "pending", "waiting"]
    # The waiting run's step; creation of three, claim of two, a report.
    assert counts(dibs) == [3, 1, 6]


def test_what_is_younger_is_kept(dibs: Dibs, executor: Executor) -> None:
    one_of_each(dibs, executor)
    age(dibs, days=29)
    before = counts(dibs)
    dibs.set_keeper(awake=True, prune_is_due=True)
    dibs.tick(retention_days=30)

    assert counts(dibs) == before


def test_retention_of_no_days_keeps_all(dibs: Dibs, executor: Executor) -> None:
    one_of_each(dibs, executor)
    age(dibs, days=3650)
    before = counts(dibs)
    dibs.set_keeper(awake=True, prune_is_due=True)
    dibs.tick(retention_days=0)

    assert counts(dibs) == before


def test_claims_of_yesterday_are_forgotten(dibs: Dibs, executor: Executor) -> None:
    dibs.pending()
    dibs.claim(executor)
    dibs.sql("UPDATE \"claimRequests\" SET at = at - interval '25 hours'")
    dibs.pending()
    dibs.claim(executor)
    dibs.set_keeper(awake=True, prune_is_due=True)
    dibs.tick()

    assert dibs.sql('SELECT count(*) FROM "claimRequests"') == [{"count": 1}]


def test_executors_that_were_not_seen_for_a_week_and_hold_nothing_are_forgotten(
    dibs: Dibs, executor: Executor, other: Executor, stranger: Executor
) -> None:
    for each in (executor, other):
        dibs.register(each)
    dibs.sql('UPDATE executors SET "seenAt" = "seenAt" - interval \'8 days\'')
    dibs.register(stranger)
    dibs.dispatch(other)
    dibs.set_keeper(awake=True, prune_is_due=True)
    dibs.tick()

    kept = dibs.sql('SELECT "fullName" AS name FROM executors ORDER BY name')
    assert [row["name"] for row in kept] == [other.name, stranger.name]

"""Pruning: over runs go with their steps and events, after their time, and nothing else does."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

from orchestrator import schema
from orchestrator.desk import pruning
from orchestrator.errors import Unavailable
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor

TABLES = ("workflowRuns", "workflowSteps", "runEvents")
FUNCTION = "dibs_prune_page(timestamptz, uuid, integer)"


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


def refused(dibs: Dibs) -> list[str]:
    rows = dibs.sql('SELECT "runId"::text AS id FROM "refusedClaims" ORDER BY id')
    return [row["id"] for row in rows]


def refuse(dibs: Dibs, run_id: object) -> None:
    """Let somebody have been refused this run."""
    dibs.sql("""INSERT INTO "refusedClaims" VALUES (%s, 1, '[{}]')""", run_id)


def test_who_was_refused_a_run_goes_with_it(dibs: Dibs, executor: Executor) -> None:
    dibs.tell(dibs.dispatch(executor), executor, "success")
    dibs.pending()
    age(dibs, days=31)
    rows = dibs.sql('SELECT id::text, "runState" AS state FROM "workflowRuns"')
    by_state = {row["state"]: row["id"] for row in rows}
    live = by_state["pending"]
    refuse(dibs, by_state["finished"])
    refuse(dibs, live)
    # Written while its run went.
    refuse(dibs, "00000000-0000-7000-8000-000000000001")
    dibs.set_keeper(awake=True, prune_is_due=True)
    dibs.tick(retention_days=30)

    assert refused(dibs) == [live]


def number(dibs: Dibs, run_id: object) -> None:
    """Let the adapter have handed this run out."""
    dibs.sql(
        """INSERT INTO "compatRuns" ("runId", "leaseId", "stepIndex", "keyId", address, polled)
             VALUES (%s, gen_random_uuid(), 0, 'k', '192.0.2.1', true)""",
        run_id,
    )


@pytest.mark.parametrize("by", ["the keeper", "the version before"])
def test_the_number_of_a_run_goes_with_it(dibs: Dibs, executor: Executor, by: str) -> None:
    dibs.tell(dibs.dispatch(executor), executor, "success")
    dibs.pending()
    age(dibs, days=31)
    rows = dibs.sql('SELECT id::text, "runState" AS state FROM "workflowRuns"')
    by_state = {row["state"]: row["id"] for row in rows}
    for run_id in by_state.values():
        number(dibs, run_id)
    if by == "the keeper":
        dibs.set_keeper(awake=True, prune_is_due=True)
        dibs.tick(retention_days=30)
    else:
        dibs.sql("SELECT dibs_prune(now() - interval '30 days', 10)")

    left = dibs.sql('SELECT "runId"::text AS id FROM "compatRuns"')
    assert [row["id"] for row in left] == [by_state["pending"]]


def test_the_version_before_takes_it_along_too(dibs: Dibs, executor: Executor) -> None:
    dibs.tell(dibs.dispatch(executor), executor, "success")
    age(dibs, days=31)
    refuse(dibs, ids(dibs)[0])
    dibs.sql("SELECT dibs_prune(now() - interval '30 days', 10)")

    assert refused(dibs) == []


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


@pytest.mark.parametrize(("retention_days", "kept"), [(30, 1), (0, 4)])
def test_acts_are_kept_as_long_as_runs_are(
    dibs: Dibs, retention_days: int, kept: int, pages_of_two: None
) -> None:
    for days in (29, 31, 32, 33):
        dibs.sql(
            'INSERT INTO "operatorActs" (id, at, actor, kind, subject, detail) VALUES'
            " (%s, now() - make_interval(days => %s), 'ops', 'x', 'y', '{}')",
            f"01900000-0000-7000-8000-{100 - days:012}",
            days,
        )
    dibs.set_keeper(awake=True, prune_is_due=True)
    dibs.tick(retention_days=retention_days)
    rested(dibs)
    dibs.tick(retention_days=retention_days)

    assert dibs.sql('SELECT count(*) FROM "operatorActs"') == [{"count": kept}]


@pytest.fixture
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMALLEST_PAGE", "FIRST_PAGE", "LARGEST_PAGE"):
        monkeypatch.setattr(pruning, name, 2)


def rested(dibs: Dibs) -> None:
    """Let the rest after a page be over, but not the one between two passes."""
    dibs.sql('UPDATE keeper SET "prunedAt" = "prunedAt" - interval \'50 s\'')


def ids(dibs: Dibs) -> list[str]:
    return [str(row["id"]) for row in dibs.sql('SELECT id FROM "workflowRuns" ORDER BY id')]


@pytest.mark.usefixtures("pages_of_two")
def test_a_pass_goes_page_by_page_and_any_process_goes_on_with_it(
    dibs: Dibs, executor: Executor
) -> None:
    for _ in range(5):
        dibs.tell(dibs.dispatch(executor), executor, "success")
    age(dibs, days=31)
    dibs.set_keeper(awake=True, prune_is_due=True)
    left = []
    for _ in range(3):
        # Each tick is another process's.
        dibs.tick(retention_days=30)
        left.append(counts(dibs)[0])
        rested(dibs)

    assert left == [3, 1, 0]
    assert counts(dibs) == [0, 0, 0]


@pytest.mark.usefixtures("pages_of_two")
def test_after_a_page_there_is_a_rest(dibs: Dibs, executor: Executor) -> None:
    for _ in range(5):
        dibs.tell(dibs.dispatch(executor), executor, "success")
    age(dibs, days=31)
    dibs.set_keeper(awake=True, prune_is_due=True)
    dibs.tick(retention_days=30)
    dibs.sql('UPDATE keeper SET "pruneRestSeconds" = 30 WHERE "pruneRestSeconds" BETWEEN 0 AND 5')
    dibs.tick(retention_days=30)

    assert counts(dibs)[0] == 3


@pytest.mark.usefixtures("pages_of_two")
def test_what_has_to_stay_is_passed_over_once(dibs: Dibs, executor: Executor) -> None:
    for _ in range(4):
        dibs.pending()
    for _ in range(2):
        dibs.tell(dibs.dispatch(executor), executor, "success")
    age(dibs, days=31)
    runs = ids(dibs)
    dibs.set_keeper(awake=True, prune_is_due=True)
    through = []
    for _ in range(4):
        dibs.tick(retention_days=30)
        (row,) = dibs.sql('SELECT "prunedThrough"::text AS id FROM keeper')
        through.append(row["id"])
        rested(dibs)

    assert through == [runs[1], runs[3], runs[5], None]
    assert counts(dibs)[0] == 4


@pytest.mark.usefixtures("pages_of_two")
def test_more_requests_of_yesterday_than_a_page_go_in_one_pass(
    dibs: Dibs, executor: Executor
) -> None:
    for _ in range(3):
        dibs.pending()
        dibs.claim(executor)
    dibs.sql("UPDATE \"claimRequests\" SET at = at - interval '25 hours'")
    dibs.set_keeper(awake=True, prune_is_due=True)
    dibs.tick()
    rested(dibs)
    dibs.tick()

    assert dibs.sql('SELECT count(*) FROM "claimRequests"') == [{"count": 0}]


def test_between_two_passes_there_is_a_minute(dibs: Dibs, executor: Executor) -> None:
    dibs.set_keeper(awake=True, prune_is_due=True)
    dibs.tick(retention_days=30)
    one_of_each(dibs, executor)
    age(dibs, days=31)
    before = counts(dibs)
    rested(dibs)
    dibs.tick(retention_days=30)
    too_early = counts(dibs)
    rested(dibs)
    dibs.tick(retention_days=30)

    assert too_early == before
    assert counts(dibs) == [3, 1, 6]


@pytest.mark.usefixtures("pages_of_two")
def test_a_page_that_fails_is_tried_again_in_a_minute(
    dibs: Dibs, executor: Executor, database: Database
) -> None:
    for _ in range(5):
        dibs.tell(dibs.dispatch(executor), executor, "success")
    age(dibs, days=31)
    dibs.set_keeper(awake=True, prune_is_due=True)
    dibs.tick(retention_days=30)
    rested(dibs)
    dibs.owner.execute(f"REVOKE ALL ON FUNCTION {FUNCTION} FROM {database.service_role}".encode())
    with pytest.raises(Unavailable):
        dibs.tick(retention_days=30)
    rested(dibs)
    dibs.tick(retention_days=30)
    rested(dibs)
    with pytest.raises(Unavailable):
        dibs.tick(retention_days=30)

    assert counts(dibs)[0] == 3


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


def test_an_upgrade_lets_whoever_pruned_before_prune_after_it(database: Database) -> None:
    """The orchestrators of this version may come before `dibs migrate grants`."""
    revisions = schema.known_revisions()
    older = revisions[revisions.index("0013") + 1]
    schema.downgrade(database.owner_url, older)
    schema.upgrade(database.owner_url)
    with closing(psycopg.connect(database.owner_url)) as owner:
        may = owner.execute(
            "SELECT has_function_privilege(%s, %s, 'EXECUTE')", [database.service_role, FUNCTION]
        ).fetchone()

    assert may == (True,)


def test_prune_is_for_the_service_alone_and_looks_nowhere_else(
    owner: psycopg.Connection,
) -> None:
    (row,) = owner.execute(
        "SELECT proconfig, prosecdef, 0 IN (SELECT grantee FROM aclexplode(proacl))"
        " FROM pg_proc WHERE oid = %s::regprocedure",
        [FUNCTION],
    ).fetchall()

    assert row == (["search_path=public, pg_temp"], True, False)

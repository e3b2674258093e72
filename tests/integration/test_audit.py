"""`dibs audit verify`: green on a right ledger, also beside a live service; red on a forged."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from orchestrator.audit.finding import Rule
from orchestrator.auditor import ledger
from orchestrator.auditor.checked import Checked
from orchestrator.store.engine import open_engine
from tests.command_line import CommandLine, Ended
from tests.database import Database
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor

ANOTHER_ID = "bbbbbbbb-0000-4000-8000-000000000001"
RUNS = 7


@pytest.fixture
def played(database: Database, owner: psycopg.Connection) -> Iterator[Dibs]:
    """An orchestrator whose ledger a test may spoil."""
    with closing(Dibs(database.service_url, owner)) as dibs:
        yield dibs


class Audit:
    """`dibs audit verify` on a test's database, as the login that serves."""

    def __init__(self, command_line: CommandLine, database: Database) -> None:
        self.command_line = command_line
        self.url = database.service_url

    def verify(self, *words: str) -> Ended:
        return self.command_line.run("audit", "verify", *words, DATABASE_URL=self.url)

    def said(self, *words: str, expect: int) -> dict[str, Any]:
        ended = self.verify(*words, "--json")
        assert ended.code == expect, ended.err
        said: dict[str, Any] = json.loads(ended.out)
        return said


@pytest.fixture
def audit(command_line: CommandLine, database: Database) -> Audit:
    return Audit(command_line, database)


def finish(dibs: Dibs, executor: Executor, **changes: Any) -> UUID:
    """A run that was executed."""
    dispatch = dibs.dispatch(executor, **changes)
    dibs.renew(executor, dispatch)
    dibs.tell(dispatch, executor, "success")
    return dispatch.run.id


def forge(dibs: Dibs, statement: str, *values: Any) -> None:
    """Write past every guard but the constraints, as only the owner can."""
    tables = ("workflowRuns", "runEvents", "workflowSteps")
    for table in tables:
        dibs.sql(f'ALTER TABLE "{table}" DISABLE TRIGGER USER')
    dibs.sql(statement, *values)
    for table in tables:
        dibs.sql(f'ALTER TABLE "{table}" ENABLE TRIGGER USER')


def test_a_right_ledger_is_counted_and_green(
    played: Dibs, executor: Executor, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "RUNS_OF_A_PAGE", 2)
    monkeypatch.setattr(ledger, "REQUESTS_OF_A_PAGE", 2)
    for _ in range(RUNS):
        finish(played, executor)

    said = audit.said(expect=0)
    assert said["holds"] is True
    assert said["findings"] == []
    assert {name: said["checked"][name] for name in ("runs", "events", "leases", "grants")} == {
        "runs": RUNS,
        "events": 4 * RUNS,
        "leases": RUNS,
        "grants": RUNS,
    }
    assert "runs" in audit.verify().out


def test_an_empty_database_is_green(audit: Audit) -> None:
    assert audit.said(expect=0)["checked"]["runs"] == 0


FORGERIES = [
    (
        Rule.SEQ_GAP,
        'DELETE FROM "runEvents" WHERE "runId" = %s AND seq = 3',
    ),
    (
        Rule.BROKEN_CHAIN,
        """UPDATE "runEvents" SET "fromState" = 'loading' WHERE "runId" = %s AND seq = 4""",
    ),
    (
        Rule.ILLEGAL_TRANSITION,
        """UPDATE "runEvents" SET kind = 'invented' WHERE "runId" = %s AND seq = 3""",
    ),
    (
        Rule.AFTER_THE_END,
        """INSERT INTO "runEvents" ("runId", seq, kind, at, "fromState", "toState", detail)
           VALUES (%s, 5, 'retried', now(), 'failed', 'pending', '{}')""",
    ),
    (
        Rule.OUTCOME_STATE,
        """UPDATE "runEvents" SET detail = detail || '{"outcome": "later"}'
            WHERE "runId" = %s AND seq = 4""",
    ),
    (
        Rule.LEASE_OVERLAP,
        """UPDATE "runEvents" SET kind = 'claimed', "fromState" = 'pending', "toState" = 'loading'
            WHERE "runId" = %s AND seq = 3""",
    ),
    (
        Rule.LEASE_INCOMPLETE,
        'UPDATE "runEvents" SET "requestId" = NULL WHERE "runId" = %s AND seq = 2',
    ),
    (
        Rule.FENCE_NOT_GROWING,
        'UPDATE "runEvents" SET fence = 0 WHERE "runId" = %s AND seq = 2',
    ),
    (
        Rule.FOREIGN_LEASE,
        f"""UPDATE "runEvents" SET "leaseId" = '{ANOTHER_ID}' WHERE "runId" = %s AND seq = 4""",
    ),
    (
        Rule.NOT_THE_HOLDER,
        """UPDATE "runEvents" SET actor = 'web' WHERE "runId" = %s AND seq = 4""",
    ),
    (
        Rule.GRANT_DISAGREES,
        f"""UPDATE "runEvents" SET "leaseId" = '{ANOTHER_ID}' WHERE "runId" = %s AND seq > 1""",
    ),
    (
        Rule.WRONG_STEP,
        """UPDATE "runEvents" SET detail = detail || '{"stepIndex": "x"}'
            WHERE "runId" = %s AND seq = 4""",
    ),
    (
        Rule.RESULT_WITHOUT_REPORT,
        """INSERT INTO "workflowSteps" ("runId", "stepIndex", name, type, state, "startedAt")
           VALUES (%s, 1, 'refund', 'refund', 'finished', now())""",
    ),
    (
        Rule.REPORT_WITHOUT_RESULT,
        'DELETE FROM "workflowSteps" WHERE "runId" = %s',
    ),
    (
        Rule.ROW_DISAGREES,
        """UPDATE "workflowRuns" SET "runState" = 'aborted', output = NULL WHERE id = %s""",
    ),
    (
        Rule.NO_RUN,
        'DELETE FROM "workflowRuns" WHERE id = %s',
    ),
]


@pytest.mark.parametrize(("rule", "statement"), FORGERIES, ids=[rule for rule, _ in FORGERIES])
def test_a_forged_run_is_named_and_the_others_are_not(
    played: Dibs, executor: Executor, audit: Audit, rule: Rule, statement: str
) -> None:
    right, forged = finish(played, executor), finish(played, executor)
    finish(played, executor)
    forge(played, statement, forged)

    said = audit.said(expect=1)
    assert rule in {finding["rule"] for finding in said["findings"]}
    assert {finding["runId"] for finding in said["findings"]} == {str(forged)}
    shown = audit.verify()
    assert shown.code == 1
    assert f"run {forged}" in shown.out
    assert "The ledger does not hold" in shown.err
    assert audit.verify("--run", str(forged)).code == 1
    assert audit.verify("--run", str(right)).code == 0


def test_a_lease_of_two_runs_is_found(played: Dibs, executor: Executor, audit: Audit) -> None:
    first, second = finish(played, executor), finish(played, executor)
    forge(
        played,
        'UPDATE "runEvents" SET "leaseId" = (SELECT min("leaseId"::text)::uuid FROM "runEvents"'
        ' WHERE "runId" = %s) WHERE "runId" = %s AND "leaseId" IS NOT NULL',
        first,
        second,
    )

    rules = {(each["rule"], each["runId"]) for each in audit.said(expect=1)["findings"]}
    assert (Rule.LEASE_USED_AGAIN, str(second)) in rules
    assert str(first) not in {run_id for _, run_id in rules}


def test_a_request_that_got_more_than_it_says_is_found(
    played: Dibs, executor: Executor, audit: Audit
) -> None:
    finish(played, executor)
    run_id = finish(played, executor)
    played.sql('UPDATE "claimRequests" SET "runIds" = \'{}\', "leaseIds" = \'{}\'')

    said = audit.said("--run", str(run_id), expect=1)
    assert [each["rule"] for each in said["findings"]] == [Rule.GRANT_DISAGREES]


def test_a_request_that_never_got_what_it_says_is_found(
    played: Dibs, executor: Executor, audit: Audit
) -> None:
    run_id = finish(played, executor)
    played.sql(
        'INSERT INTO "claimRequests" SELECT "tokenName", %s, session, "bodyHash", "runIds",'
        ' "leaseIds", at FROM "claimRequests"',
        uuid4(),
    )

    (finding,) = audit.said(expect=1)["findings"]
    assert (finding["rule"], finding["runId"]) == (Rule.GRANT_DISAGREES, str(run_id))


@pytest.mark.parametrize(
    ("expired_seconds", "ticked_seconds", "amnesty_seconds", "found"),
    [
        pytest.param(33, 0, None, [Rule.LEASE_NOT_TAKEN_BACK], id="nobody took it"),
        pytest.param(28, 0, None, [], id="within another lease"),
        pytest.param(33, 60, None, [], id="no keeper is awake"),
        pytest.param(33, 0, 10, [], id="an amnesty"),
        pytest.param(99, 0, 90, [Rule.LEASE_NOT_TAKEN_BACK], id="long after an amnesty"),
    ],
)
def test_a_lease_that_should_be_gone_is_found(
    played: Dibs,
    executor: Executor,
    audit: Audit,
    expired_seconds: int,
    ticked_seconds: int,
    amnesty_seconds: int | None,
    found: list[Rule],
) -> None:
    played.dispatch(executor, lease_seconds=30)
    played.sql(
        'UPDATE "workflowRuns" SET "leaseExpiresAt" = now() - make_interval(secs => %s)',
        expired_seconds,
    )
    played.sql(
        'UPDATE keeper SET "lastTickAt" = now() - make_interval(secs => %s),'
        ' "amnestySince" = now() - make_interval(secs => %s)',
        ticked_seconds,
        amnesty_seconds,
    )

    said = audit.said(expect=1 if found else 0)
    assert [each["rule"] for each in said["findings"]] == found


def test_many_findings_are_shown_in_part_and_counted(
    played: Dibs, executor: Executor, audit: Audit
) -> None:
    for _ in range(102):
        played.pending()
    forge(played, 'UPDATE "workflowRuns" SET attempt = 1')

    said = audit.said(expect=1)
    assert (len(said["findings"]), said["found"]) == (100, 102)
    assert "and 2 more" in audit.verify().out


def test_a_run_that_is_not_there_is_a_mistake(audit: Audit) -> None:
    ended = audit.verify("--run", ANOTHER_ID)

    assert ended.code == 1
    assert f"There is no run {ANOTHER_ID}" in ended.err


def test_beside_a_service_that_goes_on_every_look_is_green(
    dibs: Dibs, executor: Executor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "RUNS_OF_A_PAGE", 5)
    for _ in range(10):
        finish(dibs, executor)
    enough = threading.Event()
    failures: list[BaseException] = []

    def live() -> None:
        try:
            while not enough.is_set():
                finish(dibs, executor)
                dispatch = dibs.dispatch(executor)
                dibs.tell(dispatch, executor, "error", message="no")
                dibs.abort(dispatch.run.id)
                dibs.retry(dispatch.run.id)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    living = threading.Thread(target=live, name="living")
    living.start()
    engine = open_engine(database.service_url, connections=1, name="audit")
    seen: list[int] = []
    try:
        # Until it was looked at often enough while runs were executed.
        while len(set(seen)) < 5 and not failures:
            checked = Checked()
            assert list(ledger.audit_ledger(engine, checked)) == []
            seen.append(checked.runs)
    finally:
        enough.set()
        living.join()
        engine.dispose()
    assert failures == []

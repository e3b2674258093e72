"""`dibs leases revoke --all`: after a restore nobody writes under a lease of before."""

from __future__ import annotations

import io
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from orchestrator import schema
from orchestrator.dev.binaries import BinariesMissingError, find_binaries
from orchestrator.dev.provision import create_database
from orchestrator.errors import LeaseLost
from orchestrator.store import endings
from orchestrator.store.records import Dispatch
from orchestrator.store.transaction import transact
from tests.command_line import CommandLine, Ended
from tests.database import Database, Template, drop_database, needs_a_session
from tests.debian_postgres import is_installed, programs_of
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor
from tests.ledger import check_ledgers

RUNS = 12

Run = Callable[..., Ended]
Restore = Callable[[], Database]


@pytest.fixture
def run(command_line: CommandLine, database: Database) -> Run:
    """Runs a command on a database; the test's own unless told otherwise."""

    def run(*words: str, on: Database = database) -> Ended:
        return command_line.run(*words, DATABASE_URL=on.owner_url)

    return run


def revoke(run: Run, **where: Database) -> str:
    """Revoke every lease; what was printed."""
    ended = run("leases", "revoke", "--all", "--yes", **where)
    assert ended.code == 0, ended.err
    return ended.out


@contextmanager
def serving(database: Database) -> Iterator[Dibs]:
    """An orchestrator for as long as the block; then every run's ledger is checked."""
    with (
        closing(psycopg.connect(database.owner_url, autocommit=True)) as owner,
        closing(Dibs(database.service_url, owner)) as dibs,
    ):
        yield dibs
        check_ledgers(owner)


def backup_of(database: Database, how: str, template: Template, folder: Path) -> Restore:
    """Take a backup of a database that nobody uses; call the result to restore it elsewhere."""
    name = f"dibs_restored_{secrets.token_hex(6)}"
    if how == "copy":
        needs_a_session("a database that nobody is connected to")
    if how == "pg_dump":
        return dump(database, template, name, folder)
    restored_url = create_database(
        template.owner_url, name, template=database.owner_url.rpartition("/")[2]
    )
    return lambda: granted(restored_url, template)


def dump(database: Database, template: Template, name: str, folder: Path) -> Restore:
    """`pg_dump`, and `psql` into a new database."""
    programs = programs_for(database, folder)
    file = folder / "backup.sql"
    subprocess.run([programs / "pg_dump", "-f", file, database.owner_url], check=True)

    def restore() -> Database:
        restored_url = create_database(template.owner_url, name, template="template0")
        psql = [programs / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, restored_url]
        subprocess.run(psql, check=True, stdout=subprocess.DEVNULL)
        return granted(restored_url, template)

    return restore


def granted(owner_url: str, template: Template) -> Database:
    """As the runbook has it: up and grants, whatever the backup holds."""
    schema.upgrade(owner_url)
    schema.grant(owner_url, template.service_role)
    return Database(owner_url, template.service_url(owner_url), template.service_role)


@pytest.mark.parametrize("how", ["copy", "pg_dump"])
@pytest.mark.fault("F56")
def test_after_a_restore_no_lease_of_before_writes_and_every_fence_is_higher(
    how: str,
    database: Database,
    template: Template,
    tmp_path: Path,
    run: Run,
    executor: Executor,
    other: Executor,
) -> None:
    if how == "pg_dump":
        skip_unless_dumpable(database)
    with serving(database) as dibs:
        run_ids = [dibs.pending().id for _ in range(RUNS)]
        before = [dibs.claim_run(executor, run_id)[0] for run_id in run_ids[: RUNS // 2]]
    restore = backup_of(database, how, template, tmp_path)
    with serving(database) as dibs:
        after = [dibs.claim_run(other, run_id)[0] for run_id in run_ids[RUNS // 2 :]]
        reported, *_ = before
        assert dibs.tell(reported, executor, "success").status == "finished"
        unknown = dibs.dispatch(other)
        # Taken back and granted again: the backup knows an older lease of this run.
        dibs.release(executor, before[1])
        again = dibs.claim_run(other, before[1].run.id)[0]

    restored = restore()
    try:
        said = revoke(run, on=restored)

        with serving(restored) as dibs:
            for dispatch, holder in (
                *((each, executor) for each in before),
                *((each, other) for each in (*after, unknown, again)),
            ):
                assert_refused(dibs, dispatch, holder)
            fences = {run_id: dibs.claim_run(other, run_id)[0].lease.fence for run_id in run_ids}
        highest = max(each.lease.fence for each in (*before, *after, unknown, again))
        assert f"leases ended: {len(before)}" in said
        assert min(fences.values()) > highest
    finally:
        drop_database(template.owner_url, restored.owner_url.rpartition("/")[2])


def programs_for(database: Database, folder: Path) -> Path:
    """Those of the server's version, if they are here: it refuses what a newer pg_dump writes."""
    with closing(psycopg.connect(database.owner_url)) as connection:
        version = str(connection.info.server_version // 10_000)
    if is_installed(version):
        return programs_of(version)
    try:
        return find_binaries(copy_to=folder / "binaries")
    except BinariesMissingError as error:
        pytest.skip(f"no pg_dump: {error}")


def skip_unless_dumpable(database: Database) -> None:
    """pg_dump refuses a server that is newer than itself."""
    newest = 18
    with closing(psycopg.connect(database.owner_url)) as connection:
        if connection.info.server_version // 10_000 > newest:
            pytest.skip("the server is newer than the pg_dump that is here")


def assert_refused(dibs: Dibs, dispatch: Dispatch, holder: Executor) -> None:
    """Nothing can be done under this lease."""
    assert isinstance(dibs.tell(dispatch, holder, "success").problem, LeaseLost)
    assert dibs.renew(holder, dispatch).lost == [dispatch.lease.id]
    assert dibs.release(holder, dispatch).lost == [dispatch.lease.id]


def test_what_becomes_of_a_run_is_what_becomes_of_it_by_every_ending(
    dibs: Dibs, executor: Executor, run: Run
) -> None:
    plain, begun, aborted = dibs.dispatch(executor), dibs.begun(executor), dibs.dispatch(executor)
    untouched = dibs.pending()
    dibs.abort(aborted.run.id)

    said = revoke(run)

    assert [dibs.state(each.run.id) for each in (plain, begun, aborted)] == [
        "pending",
        "waiting",
        "aborted",
    ]
    assert dibs.row(begun.run.id)["waitingFor"] == {"reason": "outcome-unknown"}
    assert dibs.events(untouched.id) == ["created"]
    assert "leases ended: 3" in said
    assert "1 pending again" in said
    assert "1 waiting, outcome unknown" in said
    assert "1 aborted" in said


def test_it_costs_no_budget_and_the_ledger_says_whose_doing_it_was(
    dibs: Dibs, executor: Executor, run: Run
) -> None:
    dispatch = dibs.dispatch(executor, max_crashes=1)
    revoke(run)

    row = dibs.row(dispatch.run.id)
    (event,) = dibs.sql(
        'SELECT actor, session_user, "leaseId" FROM "runEvents"'
        " WHERE \"runId\" = %s AND kind = 'revoked'",
        dispatch.run.id,
    )
    assert (row["runState"], row["crashes"], row["releases"]) == ("pending", 0, 0)
    assert event["actor"] == f"database:{event['session_user']}"
    assert event["leaseId"] == dispatch.lease.id


def test_a_repeated_claim_gives_none_of_what_was_revoked(
    dibs: Dibs, executor: Executor, run: Run
) -> None:
    dibs.pending()
    request_id = uuid4()
    (first,) = dibs.claim(executor, request_id=request_id).dispatches
    revoke(run)

    again = dibs.claim(executor, request_id=request_id)

    assert (again.dispatches, again.replayed) == ([], True)
    assert dibs.state(first.run.id) == "pending"


def test_more_than_a_batch_is_ended_and_told_on_the_way(
    dibs: Dibs, executor: Executor, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.cli.leases.BATCH", 2)
    for _ in range(5):
        dibs.dispatch(executor)

    ended = run("leases", "revoke", "--all", "--yes")

    assert ended.err.splitlines() == ["2 of 5", "4 of 5"]
    assert "leases ended: 5" in ended.out
    assert "leases ended: 0" in revoke(run)


def test_a_pass_never_goes_back_to_what_was_granted_behind_it(
    dibs: Dibs, executor: Executor
) -> None:
    behind, passed, ahead = (dibs.dispatch(executor) for _ in range(3))

    ended = transact(
        dibs.database.leases,
        lambda connection: endings.revoke(connection, after=passed.run.id, limit=500),
    )

    assert [each.run_id for each in ended] == [ahead.run.id]
    assert dibs.row(behind.run.id)["leaseId"] == behind.lease.id


def test_a_locked_run_is_waited_for(
    database: Database, dibs: Dibs, executor: Executor, run: Run
) -> None:
    dispatch = dibs.dispatch(executor)
    with closing(psycopg.connect(database.owner_url)) as foreigner:
        foreigner.execute('SELECT FROM "workflowRuns" FOR UPDATE')
        refused = run("leases", "revoke", "--all", "--yes")
    again = revoke(run)

    assert refused.code == 69
    assert "lock timeout" in refused.err
    assert "leases ended: 1" in again
    assert dibs.state(dispatch.run.id) == "pending"


def test_it_says_what_is_missing_and_asks_first(
    dibs: Dibs, executor: Executor, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatch = dibs.dispatch(executor)
    without_all = run("leases", "revoke")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    asked = run("leases", "revoke", "--all")

    assert (without_all.code, asked.code) == (2, 130)
    assert "--all" in without_all.err
    assert "Leases that live: 1" in asked.err
    assert dibs.row(dispatch.run.id)["leaseId"] == dispatch.lease.id

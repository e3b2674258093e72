"""A COMMIT that is not answered, or answered with a warning, is looked up before anyone is told.

On a server of the test's own: it waits for a synchronous standby that does not exist.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Connection, event, text

from orchestrator.desk.schedules import create_run
from orchestrator.dev.embedded import EmbeddedPostgres
from orchestrator.errors import OutcomeUnknown, Unavailable
from orchestrator.store import schedules
from orchestrator.store.patience import PATIENCE_SECONDS
from orchestrator.store.schedules import NewSchedule
from orchestrator.store.transaction import transact
from tests.database import Template, fresh_database, template_on
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor, held, new_run, outcome
from tests.ledger import check_ledgers

IN_TIME_SECONDS = 5.5
SHORT_PATIENCE_SECONDS = 0.8


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres")) as postgres:
        yield postgres


@pytest.fixture(scope="module")
def own_template(postgres: EmbeddedPostgres) -> Iterator[Template]:
    with template_on(postgres.owner_url, shared=False) as template:
        yield template


@pytest.fixture
def dibs(own_template: Template) -> Iterator[Dibs]:
    with (
        fresh_database(own_template) as database,
        closing(psycopg.connect(database.owner_url, autocommit=True)) as owner,
        closing(Dibs(database.service_url, owner)) as dibs,
    ):
        # What the test itself does need not wait.
        owner.execute("SET synchronous_commit = local")
        yield dibs
        check_ledgers(owner)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


@contextmanager
def standby_away(dibs: Dibs) -> Iterator[None]:
    """No COMMIT is answered: the standby that it waits for is not there."""
    set_standbys(dibs, "nobody")
    try:
        yield
    finally:
        set_standbys(dibs, "")


def set_standbys(dibs: Dibs, names: str) -> None:
    dibs.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
    dibs.sql("SELECT pg_reload_conf()")
    # Whether a COMMIT waits stands in shared memory, which another process sets: it is tried.
    eventually(lambda: commits_wait(dibs) is bool(names))


def commits_wait(dibs: Dibs) -> bool:
    """Whether a COMMIT waits for a standby now; this one is cancelled."""
    at = dibs.owner.info
    with (
        closing(
            psycopg.connect(
                host=at.host, port=at.port, user=at.user, password=at.password, dbname=at.dbname
            )
        ) as somebody,
        ThreadPoolExecutor(1) as thread,
    ):
        somebody.execute("SELECT pg_logical_emit_message(true, 'test', '')")
        committed, pid = thread.submit(somebody.commit), somebody.info.backend_pid
        eventually(lambda: committed.done() or pid in waiting_for_standby(dibs))
        waits = not committed.done()
        if waits:
            dibs.sql("SELECT pg_cancel_backend(%s)", pid)
    return waits


def eventually(happens: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while not (found := happens()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


def waiting_for_standby(dibs: Dibs) -> list[int]:
    """The backends whose COMMIT waits for the standby."""
    return waiting(dibs, "SyncRep")


def waiting(dibs: Dibs, *events: str) -> list[int]:
    """The backends that wait for the standby, for a key or for another transaction to end."""
    dibs.sql("SELECT pg_stat_clear_snapshot()")
    rows = dibs.sql(
        "SELECT pid FROM pg_stat_activity WHERE wait_event = ANY (%s)",
        list(events or ("SyncRep", "advisory", "transactionid", "tuple")),
    )
    return [row["pid"] for row in rows]


ACTS: dict[str, Callable[[Dibs, Executor], Callable[[], Any]]] = {}


def act(prepare: Callable[[Dibs, Executor], Callable[[], Any]]) -> None:
    """Something that is asked of Dibs, once what it needs has been prepared."""
    ACTS[prepare.__name__.replace("_", "-")] = prepare


@act
def create(dibs: Dibs, executor: Executor) -> Callable[[], Any]:
    run_id = new_run().id
    return lambda: dibs.create(id=run_id).run.id == run_id


@act
def create_by_key(dibs: Dibs, executor: Executor) -> Callable[[], Any]:
    run_id = new_run().id
    return lambda: dibs.create(id=run_id, idempotency_key="k", request_hash=b"h").run.id == run_id


@act
def claim(dibs: Dibs, executor: Executor) -> Callable[[], Any]:
    run = dibs.pending()
    request_id = uuid4()
    return lambda: (
        [each.run.id for each in dibs.claim(executor, request_id=request_id).dispatches] == [run.id]
    )


@act
def claim_by_id(dibs: Dibs, executor: Executor) -> Callable[[], Any]:
    run = dibs.pending()
    request_id = uuid4()
    return lambda: dibs.claim_run(executor, run.id, request_id=request_id)[0].run.id == run.id


@act
def report(dibs: Dibs, executor: Executor) -> Callable[[], Any]:
    told = outcome(dibs.dispatch(executor), executor, "success")
    return lambda: dibs.report(told)[0].status == "finished"


@act
def renew(dibs: Dibs, executor: Executor) -> Callable[[], Any]:
    dispatch = dibs.dispatch(executor)
    return lambda: len(dibs.renew(executor, dispatch).renewed) == 1


def abort(dibs: Dibs, executor: Executor) -> Callable[[], Any]:
    run = dibs.pending()
    return lambda: dibs.abort(run.id, request_id="this").run_state == "aborted"


def release(dibs: Dibs, executor: Executor) -> Callable[[], Any]:
    dispatch = dibs.dispatch(executor)
    given_back = held(dispatch, executor, request_id="this")

    def ask() -> bool:
        answer = dibs.leases.release([given_back], reason="draining")
        return (answer.released, answer.lost) == ([dispatch.run.id], [])

    return ask


@act
def run_a_schedule_now(dibs: Dibs, executor: Executor) -> Callable[[], Any]:
    schedule = NewSchedule(
        "nightly", "report", "0 2 * * *", "UTC", "{}", "default", "skip", False, dibs.now(), "ops"
    )
    transact(dibs.database.work, lambda connection: schedules.put(connection, schedule))

    def ask() -> bool:
        def work(connection: Connection) -> UUID | None:
            found = schedules.find(connection, "nightly")
            assert found
            return create_run(connection, found, key="k")

        return transact(dibs.database.work, work) is not None

    return ask


@act
def abort_by_key(dibs: Dibs, executor: Executor) -> Callable[[], Any]:
    run = dibs.pending()
    return lambda: dibs.abort(run.id, key="k", request_id="this").run_state == "aborted"


@act
def resume_by_key(dibs: Dibs, executor: Executor) -> Callable[[], Any]:
    dispatch = dibs.dispatch(executor)
    dibs.tell(dispatch, executor, "awaiting-input", waiting_for='{"reason": "input"}')
    return lambda: dibs.resume(dispatch.run.id, key="k").run_state == "pending"


@pytest.fixture(params=ACTS)
def repeatable(request: pytest.FixtureRequest, dibs: Dibs, executor: Executor) -> Callable[[], Any]:
    """Every kind of request that is repeated by its key; true when it was answered as done."""
    return ACTS[request.param](dibs, executor)


@pytest.fixture(params=[*ACTS, "abort", "release"])
def asked(request: pytest.FixtureRequest, dibs: Dibs, executor: Executor) -> Callable[[], Any]:
    """Every kind of request."""
    return {**ACTS, "abort": abort, "release": release}[request.param](dibs, executor)


@pytest.fixture
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.store.patience.PATIENCE_SECONDS", SHORT_PATIENCE_SECONDS)


def changes(dibs: Dibs) -> int:
    """How often anything was written to the ledger."""
    return int(dibs.sql('SELECT count(*) AS lines FROM "runEvents"')[0]["lines"])


@pytest.mark.usefixtures("little_patience")
@pytest.mark.fault("F21")
def test_a_cancelled_wait_for_the_standby_is_no_answer(
    dibs: Dibs, repeatable: Callable[[], Any], threads: ThreadPoolExecutor
) -> None:
    """The server answers the COMMIT with success and a warning: it is not to be believed."""
    with standby_away(dibs):
        answer = threads.submit(repeatable)
        while not answer.done():
            for pid in waiting_for_standby(dibs):
                dibs.sql("SELECT pg_cancel_backend(%s)", pid)
        unanswered(answer)

    assert repeatable()


@pytest.mark.fault("F21")
def test_a_cancelled_wait_is_answered_once_the_standby_has_it_all(
    dibs: Dibs, asked: Callable[[], Any], threads: ThreadPoolExecutor
) -> None:
    before = changes(dibs)
    with standby_away(dibs):
        answer = threads.submit(asked)
        (pid,) = eventually(lambda: waiting_for_standby(dibs))
        dibs.sql("SELECT pg_cancel_backend(%s)", pid)
        eventually(lambda: changes(dibs) > before)
        eventually(lambda: waiting_for_standby(dibs))
        assert not answer.done()

    assert answer.result()


def test_a_commit_whose_connection_died_is_looked_up_and_answered_as_done(
    dibs: Dibs, asked: Callable[[], Any], threads: ThreadPoolExecutor
) -> None:
    """It is looked up on another connection, and waits for the standby like the first."""
    before = changes(dibs)
    with standby_away(dibs):
        answer = threads.submit(asked)
        (pid,) = eventually(lambda: waiting_for_standby(dibs))
        dibs.sql("SELECT pg_terminate_backend(%s)", pid)
        eventually(lambda: changes(dibs) > before)
        (other,) = eventually(lambda: set(waiting_for_standby(dibs)) - {pid})
        assert not answer.done()
        events = changes(dibs)

    assert answer.result()
    assert other != pid
    assert changes(dibs) == events


def test_a_commit_that_is_still_waited_for_is_looked_up_once_it_has_taken_effect(
    dibs: Dibs, asked: Callable[[], Any], threads: ThreadPoolExecutor
) -> None:
    """The server does not notice that nobody hears it, and holds the locks until it is done."""
    before = changes(dibs)
    with connections(dibs) as links, standby_away(dibs):
        answer = threads.submit(asked)
        (pid,) = eventually(lambda: waiting_for_standby(dibs))
        cut(links[pid])
        # The look-up: for the first one's locks, or with what little it wrote itself.
        eventually(lambda: set(waiting(dibs)) - {pid})
        unseen = changes(dibs) == before

    assert answer.result()
    assert unseen


def test_who_claimed_on_arrival_in_a_commit_that_was_not_answered_gets_its_run_once(
    dibs: Dibs, executor: Executor, threads: ThreadPoolExecutor
) -> None:
    waiting = threads.submit(dibs.claim, executor, wait_seconds=25.0)
    eventually(lambda: dibs.desk.parked)
    with standby_away(dibs):
        creating = threads.submit(dibs.pending)
        (pid,) = eventually(lambda: waiting_for_standby(dibs))
        dibs.sql("SELECT pg_terminate_backend(%s)", pid)
        eventually(lambda: set(waiting_for_standby(dibs)) - {pid})
        assert not waiting.done()

    run = creating.result()
    assert [each.run.id for each in waiting.result().dispatches] == [run.id]
    assert dibs.events(run.id) == ["created", "claimed"]


@contextmanager
def connections(dibs: Dibs) -> Iterator[dict[int, psycopg.Connection[Any]]]:
    """The connections that transactions begin on meanwhile, by the pid of their backend."""
    links: dict[int, psycopg.Connection[Any]] = {}

    def note(connection: Connection) -> None:
        link = connection.connection.dbapi_connection
        links[link.info.backend_pid] = link

    engines = (dibs.database.work, dibs.database.leases)
    for engine in engines:
        event.listen(engine, "begin", note)
    try:
        yield links
    finally:
        for engine in engines:
            event.remove(engine, "begin", note)


def cut(link: psycopg.Connection[Any]) -> None:
    """Cut a connection at this end, as the network does: the server is not told."""
    with socket.socket(fileno=os.dup(link.fileno())) as end:
        end.shutdown(socket.SHUT_RD)


@pytest.mark.fault("F20")
def test_a_look_up_that_only_reads_waits_for_the_standby_too(
    dibs: Dibs, threads: ThreadPoolExecutor
) -> None:
    def work(connection: Connection) -> None:
        connection.execute(
            text(
                "INSERT INTO queues (name, paused, \"changedAt\") VALUES ('q', false, now())"
                " ON CONFLICT DO NOTHING"
            )
        )

    with standby_away(dibs):
        answer = threads.submit(transact, dibs.database.work, work)
        (pid,) = eventually(lambda: waiting_for_standby(dibs))
        dibs.sql("SELECT pg_terminate_backend(%s)", pid)
        eventually(lambda: dibs.sql("SELECT name FROM queues"))
        eventually(lambda: set(waiting_for_standby(dibs)) - {pid})
        assert not answer.done()

    answer.result()


@pytest.mark.usefixtures("little_patience")
@pytest.mark.fault("F20")
def test_a_repeat_is_not_answered_before_the_standby_has_what_it_repeats(
    dibs: Dibs, repeatable: Callable[[], Any], threads: ThreadPoolExecutor
) -> None:
    """What was committed here alone is visible; a repeat must not call it stored."""
    with standby_away(dibs):
        first = threads.submit(repeatable)
        (pid,) = eventually(lambda: waiting_for_standby(dibs))
        unanswered(first)
        # The first one's backend waits on; cut off there, its work is visible.
        dibs.sql("SELECT pg_terminate_backend(%s, 5000)", pid)
        unanswered(threads.submit(repeatable))

    assert repeatable()


def unanswered(answer: Future[Any]) -> None:
    with pytest.raises(OutcomeUnknown):
        answer.result()


def test_a_commit_that_was_lost_before_it_happened_is_done_by_looking_it_up(
    dibs: Dibs, executor: Executor
) -> None:
    run = dibs.pending()
    tries = 0

    def work(connection: Connection) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            pid = connection.scalar(text("SELECT pg_backend_pid()"))
            dibs.sql("SELECT pg_terminate_backend(%s, 5000)", pid)
        return tries

    assert transact(dibs.database.work, work) == 2
    assert dibs.state(run.id) == "pending"


@pytest.mark.usefixtures("little_patience")
def test_a_commit_that_cannot_be_looked_up_is_told_as_unknown(dibs: Dibs) -> None:
    def work(connection: Connection) -> None:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        dibs.sql("SELECT pg_terminate_backend(%s, 5000)", pid)

    with pytest.raises(OutcomeUnknown):
        transact(dibs.database.work, work)


@pytest.mark.fault("F18")
def test_a_server_that_hangs_holds_no_request_longer_than_five_seconds(
    dibs: Dibs, executor: Executor, threads: ThreadPoolExecutor
) -> None:
    runs = [dibs.pending() for _ in range(3)]
    lease = dibs.dispatch(executor)
    threads_before = threading.active_count()
    pids = [
        row["pid"]
        for row in dibs.sql(
            "SELECT pid FROM pg_stat_activity"
            " WHERE starts_with(application_name, 'dibs') OR backend_type <> 'client backend'"
        )
    ]
    with stopped([parent_of(pids[0]), *pids]):
        began = time.monotonic()
        answers: list[Future[Any]] = [
            threads.submit(dibs.claim, executor),
            threads.submit(dibs.renew, executor, lease),
            threads.submit(dibs.claim_run, executor, runs[0].id),
            threads.submit(dibs.pending),
        ]
        for answer in answers:
            assert isinstance(answer.exception(), Unavailable)
        took = time.monotonic() - began

    assert PATIENCE_SECONDS - 0.5 < took < IN_TIME_SECONDS
    assert len(dibs.claim(executor).dispatches) == 1
    assert len(dibs.renew(executor, lease).renewed) == 1
    assert threading.active_count() <= threads_before + len(answers)


def parent_of(pid: int) -> int:
    """The server that forks the others."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Processes that stand still: their sockets are open, and nobody answers."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

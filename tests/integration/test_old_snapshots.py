"""Whoever holds an old snapshot is named, whatever holds it; and nobody else is."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import SimpleNamespace

import psycopg
import pytest
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from orchestrator.api.context import services_of
from orchestrator.api.readiness import Readiness
from orchestrator.app import create_app
from orchestrator.desk import snapshot_watch
from orchestrator.desk.snapshot_watch import OldSnapshot, SnapshotWatch
from orchestrator.dev.embedded import EmbeddedPostgres
from orchestrator.dev.provision import create_database, ensure_role, provision
from orchestrator.lifecycle import Role
from orchestrator.settings import load
from orchestrator.store.engine import open_engine
from orchestrator.store.health import SnapshotHolder, snapshot_holders
from orchestrator.store.transaction import transact
from tests.acceptance.stage import make_token
from tests.acceptance.waiting import eventually
from tests.database import SERVICE_ROLE, Database
from tests.integration.standby import standby

SLOT = "forgotten_standby"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A server of our own: prepared transactions are off unless a server is told otherwise."""
    folder = tmp_path_factory.mktemp("postgres")
    settings = {"max_prepared_transactions": "4"}
    with EmbeddedPostgres(folder, durable=False, settings=settings) as postgres:
        owner_url = create_database(postgres.owner_url, "dibs")
        service_url = ensure_role(owner_url, SERVICE_ROLE, secrets.token_hex(8))
        provision(owner_url, SERVICE_ROLE)
        yield Database(owner_url, service_url, SERVICE_ROLE)


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """The service's."""
    engine = open_engine(database.service_url, connections=1, name="dibs-test")
    yield engine
    engine.dispose()


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection]:
    with closing(psycopg.connect(database.owner_url, autocommit=True)) as connection:
        yield connection


@pytest.fixture
def reader_of_statistics(owner: psycopg.Connection) -> Iterator[None]:
    """The service's role may see what others do."""
    owner.execute(f"GRANT pg_read_all_stats TO {SERVICE_ROLE}".encode())
    yield
    owner.execute(f"REVOKE pg_read_all_stats FROM {SERVICE_ROLE}".encode())


class Clock:
    """This process's clock, as the watch sees it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(snapshot_watch, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot is old as soon as it is there."""
    monkeypatch.setattr(snapshot_watch, "OLD_SECONDS", 0.0)


@contextmanager
def snapshot(url: str, name: str) -> Iterator[psycopg.Connection]:
    """A session of this application_name that reads, and does not end."""
    with closing(psycopg.connect(url, autocommit=True, application_name=name)) as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT 1")
        yield holder


def holders(engine: Engine, kind: str = "session") -> dict[str, SnapshotHolder]:
    """Who holds a snapshot of any age, by name."""
    found = transact(engine, snapshot_holders)
    return {each.name: each for each in found if each.kind == kind}


def old(engine: Engine, watch: SnapshotWatch) -> dict[str, OldSnapshot]:
    return {each.holder.name: each for each in transact(engine, watch.old)}


def test_another_roles_session_is_named_once_it_was_seen_for_a_minute(
    database: Database, engine: Engine, clock: Clock
) -> None:
    watch = SnapshotWatch()
    with snapshot(database.owner_url, "report of the year") as holder:
        young = old(engine, watch)
        clock.now += 61
        named = old(engine, watch)["report of the year"]
        pid = holder.info.backend_pid

    assert "report of the year" not in young
    assert (named.holder.kind, named.holder.pid, named.holder.since) == ("session", pid, None)
    assert named.seconds == 61
    assert named.text == (
        f"Session {pid} (report of the year) has kept dead rows from being removed for 61 s at"
        " least. Since when exactly, this role may not see: make it a member of pg_read_all_stats."
    )


def test_a_session_that_takes_a_snapshot_every_moment_is_not_named(
    database: Database, engine: Engine, owner: psycopg.Connection, clock: Clock
) -> None:
    watch = SnapshotWatch()
    with snapshot(database.owner_url, "busy") as holder:
        old(engine, watch)
        holder.execute("COMMIT")
        owner.execute("SELECT pg_current_xact_id()")
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT 1")
        clock.now += 61
        named = old(engine, watch)

        assert "busy" in holders(engine)
        assert "busy" not in named


@pytest.mark.usefixtures("reader_of_statistics", "at_once")
def test_a_role_that_may_see_it_says_since_when(database: Database, engine: Engine) -> None:
    with snapshot(database.owner_url, "report of the year") as holder:
        (row,) = holder.execute("SELECT now()").fetchall()
        named = old(engine, SnapshotWatch())["report of the year"]

    assert named.holder.since == row[0]
    assert named.text.endswith(f"since {row[0]:%Y-%m-%d %H:%M:%S} UTC.")


def test_a_transaction_that_wrote_and_is_idle_holds_one_too(
    database: Database, engine: Engine, owner: psycopg.Connection
) -> None:
    with closing(
        psycopg.connect(database.owner_url, autocommit=True, application_name="idle writer")
    ) as writer:
        writer.execute("BEGIN")
        writer.execute("SELECT pg_current_xact_id()")
        for _ in range(3):
            owner.execute("SELECT pg_current_xact_id()")

        assert holders(engine)["idle writer"].transactions >= 3


@pytest.mark.usefixtures("at_once")
@pytest.mark.fault("F42")
def test_a_prepared_transaction_is_named_by_its_gid(
    engine: Engine, owner: psycopg.Connection
) -> None:
    owner.execute("BEGIN")
    owner.execute("SELECT pg_current_xact_id()")
    owner.execute("PREPARE TRANSACTION 'left behind'")
    try:
        named = old(engine, SnapshotWatch())["left behind"]
    finally:
        owner.execute("ROLLBACK PREPARED 'left behind'")

    assert (named.holder.kind, named.holder.pid) == ("prepared", None)
    assert named.holder.since is not None
    assert named.text.startswith("Prepared transaction left behind has kept dead rows from being")


@pytest.mark.usefixtures("at_once")
@pytest.mark.fault("F42")
def test_a_replication_slot_that_nobody_uses_any_more_is_named(
    database: Database, engine: Engine, owner: psycopg.Connection
) -> None:
    owner.execute("SELECT pg_create_physical_replication_slot(%s, true)", [SLOT])
    horizon = int(owner.execute("SELECT pg_current_xact_id()::text").fetchall()[0][0])
    try:
        with standby(database.owner_url, SLOT, horizon=horizon):
            used = eventually(lambda: holders(engine, "slot").get(SLOT), what="the feedback")
        unused = eventually(
            lambda: next(
                (
                    each
                    for each in transact(engine, SnapshotWatch().old)
                    if each.holder.name == SLOT and each.holder.pid is None
                ),
                None,
            ),
            what="the standby is gone",
        )
    finally:
        owner.execute("SELECT pg_drop_replication_slot(%s)", [SLOT])

    assert used.pid is not None
    assert unused.holder.horizon == str(horizon)
    assert unused.text.startswith(f"Replication slot {SLOT} has kept dead rows from being removed")
    assert unused.text.endswith(" Nobody uses it.")


def test_a_vacuum_holds_nothing_back(
    database: Database, engine: Engine, owner: psycopg.Connection
) -> None:
    owner.execute("CREATE TABLE swept AS SELECT repeat('x', 100) FROM generate_series(1, 20000)")
    with closing(psycopg.connect(database.owner_url, autocommit=True)) as sweeper:
        # So slow that it is still at work when it is looked for.
        sweeper.execute("SET application_name = 'sweeper'")
        sweeper.execute("SET vacuum_cost_delay = '100ms'")
        sweeper.execute("SET vacuum_cost_limit = 1")
        sweeping = threading.Thread(target=_ends, args=(sweeper, "VACUUM swept"))
        sweeping.start()
        try:
            eventually(
                lambda: owner.execute(
                    "SELECT pid FROM pg_stat_activity JOIN pg_stat_progress_vacuum USING (pid)"
                    " WHERE backend_xmin IS NOT NULL"
                ).fetchone(),
                what="the vacuum works",
            )
            found = holders(engine)
        finally:
            sweeper.cancel_safe()
            sweeping.join()
            owner.execute("DROP TABLE swept")

    assert "sweeper" not in found


def test_a_snapshot_of_another_database_holds_nothing_back_here(
    database: Database, engine: Engine
) -> None:
    other_url = create_database(database.owner_url, "another")

    with snapshot(other_url, "elsewhere"), snapshot(database.owner_url, "here"):
        found = holders(engine)

    assert "here" in found
    assert "elsewhere" not in found


def readiness(database: Database, *tokens: str) -> list[TestResponse]:
    """What an orchestrator says of itself, to nobody or to whoever has such a token."""
    app = create_app(load({"DATABASE_URL": database.service_url, "DIBS_SECRET_KEY": "s" * 32}))
    with closing(services_of(app).database):
        return [
            app.test_client().get(
                "/readyz", headers={"Authorization": f"Bearer {token}"} if token else {}
            )
            for token in tokens
        ]


@pytest.mark.usefixtures("at_once")
def test_who_holds_a_snapshot_is_no_reason_not_to_be_ready(database: Database) -> None:
    viewer = make_token(database, "viewer", Role.VIEWER)

    with snapshot(database.owner_url, "report of the year") as holder:
        [answer] = readiness(database, viewer)
        pid = holder.info.backend_pid

    assert (answer.status_code, answer.json["ready"], answer.json["reasons"]) == (200, True, [])
    (named,) = (
        each for each in answer.json["snapshotHolders"] if each["name"] == "report of the year"
    )
    assert named["kind"] == "session"
    assert named["pid"] == pid
    assert named["text"].startswith(f"Session {pid} (report of the year) has kept")


@pytest.mark.usefixtures("at_once")
def test_strangers_are_not_told_who_holds_a_snapshot(database: Database) -> None:
    strangers = [
        "",
        "dibs_0123456789abcdef_bad",
        make_token(database, "web", Role.CLIENT),
        make_token(database, "fleet", Role.EXECUTOR),
    ]

    with snapshot(database.owner_url, "report of the year"):
        answers = readiness(database, *strangers)

    for answer in answers:
        assert (answer.status_code, answer.json["ready"]) == (200, True)
        assert "report of the year" not in answer.text
        for each in answer.json["snapshotHolders"]:
            assert [each[name] for name in ("name", "pid", "since", "transactions")] == [None] * 4
            assert "has kept dead rows" in each["text"]
        assert answer.json["snapshotHolders"]


@pytest.mark.usefixtures("at_once")
def test_a_process_that_is_not_ready_names_nobody(database: Database) -> None:
    draining = threading.Event()
    draining.set()

    with snapshot(database.owner_url, "report of the year"):
        assert not Readiness(database.service_url, draining).old_snapshots()


def _ends(sweeper: psycopg.Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.QueryCanceled):
        sweeper.execute(statement.encode())

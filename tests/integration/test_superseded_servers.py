"""Two servers that both write: nothing is served from the one that the other took over from."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, text

from orchestrator.api.readiness import Readiness
from orchestrator.desk.server_watch import look
from orchestrator.dev.embedded import EmbeddedPostgres
from orchestrator.errors import Unavailable
from orchestrator.store.engine import Database as Pools
from orchestrator.store.engine import open_database
from orchestrator.store.known_primary import KnownPrimary
from orchestrator.store.transaction import transact, words_of
from tests.database import Database
from tests.server_pair import ServerPair, server_pair

pytestmark = pytest.mark.fault("F23")

INSERT = text(
    'INSERT INTO queues (name, paused, "changedAt") VALUES (:name, false, now())'
    " ON CONFLICT DO NOTHING"
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPair]:
    """Two servers that both write: the standby was promoted, and nobody stopped the old one."""
    with server_pair(tmp_path_factory.mktemp("servers")) as (pair, _):
        pair.promote()
        yield pair


@pytest.fixture
def new(pair: ServerPair) -> EmbeddedPostgres:
    return pair.primary


@pytest.fixture
def old(pair: ServerPair) -> EmbeddedPostgres:
    return pair.standby


@pytest.fixture
def pools(pair: ServerPair, old: EmbeddedPostgres, new: EmbeddedPostgres) -> Iterator[Pools]:
    """A process whose URL names the old one first, and which works on it."""
    with closing(open_database(pair.service_url(old, new))) as pools:
        assert transact(pools.work, timeline) == 1
        yield pools


def timeline(connection: Connection) -> int:
    """The timeline of the server that serves."""
    found = connection.execute(
        text("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)")
    ).scalar_one()
    return int(found, 16)


def queues(pair: ServerPair, server: EmbeddedPostgres, name: str) -> int:
    """How many queues of this name a server has."""
    with pair.owner_of(server) as owner:
        return owner.execute("SELECT FROM queues WHERE name = %s", [name]).rowcount


def test_once_the_newer_was_seen_every_pool_leaves_the_older(
    pair: ServerPair, pools: Pools, old: EmbeddedPostgres, new: EmbeddedPostgres
) -> None:
    assert transact(pools.leases, timeline) == 1

    look(pair.service_url(old, new), pools.primary)

    assert [transact(pool, timeline) for pool in pools.pools.values()] == [2, 2, 2]


def test_a_transaction_that_began_before_is_done_on_the_newer_alone(
    pair: ServerPair, pools: Pools, old: EmbeddedPostgres, new: EmbeddedPostgres
) -> None:
    def work(connection: Connection) -> None:
        connection.execute(INSERT, {"name": "meanwhile"})
        look(pair.service_url(new), pools.primary)

    transact(pools.work, work)

    assert (queues(pair, old, "meanwhile"), queues(pair, new, "meanwhile")) == (0, 1)


def test_where_only_the_older_can_be_reached_nothing_is_served(
    pair: ServerPair, old: EmbeddedPostgres, new: EmbeddedPostgres
) -> None:
    with closing(open_database(pair.service_url(old))) as pools:
        assert transact(pools.work, timeline) == 1
        look(pair.service_url(new), pools.primary)

        for _ in range(2):
            with pytest.raises(Unavailable) as refused:
                transact(pools.work, timeline)

    assert "another server has taken over" in (words_of(refused.value) or "")


def test_a_process_that_reaches_only_the_older_is_not_ready(
    pair: ServerPair, pools: Pools, old: EmbeddedPostgres, new: EmbeddedPostgres
) -> None:
    look(pair.service_url(new), pools.primary)
    reasons = [
        Readiness(pair.service_url(*reached), threading.Event(), pools.primary).reasons()
        for reached in ([old], [new], [old, new])
    ]

    assert reasons == [["database-superseded"], [], []]


def test_who_asks_whether_a_process_is_ready_lets_it_see_the_newer(
    pair: ServerPair, pools: Pools, old: EmbeddedPostgres, new: EmbeddedPostgres
) -> None:
    readiness = Readiness(pair.service_url(new, old), threading.Event(), pools.primary)

    assert readiness.reasons() == []
    assert transact(pools.work, timeline) == 2


def test_a_standby_that_libpq_is_content_with_is_passed_over(tmp_path: Path) -> None:
    with server_pair(tmp_path / "servers") as (pair, _):
        anywhere = pair.service_url(pair.standby, pair.primary).partition("?")[0]
        with closing(open_database(anywhere)) as pools:
            assert transact(pools.work, timeline) == 1


def test_a_server_that_refuses_what_is_asked_does_not_end_the_watch(
    database: Database, owner: psycopg.Connection
) -> None:
    owner.execute("REVOKE EXECUTE ON FUNCTION pg_is_in_recovery() FROM PUBLIC")
    primary = KnownPrimary()

    look(database.service_url, primary)

    assert primary.server is None

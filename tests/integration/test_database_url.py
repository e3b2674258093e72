"""What DATABASE_URL says of a connection reaches libpq as it is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import psycopg
import pytest
from sqlalchemy import Connection, text

from orchestrator import schema
from orchestrator.dev.ports import LOOPBACK
from orchestrator.errors import Unavailable
from orchestrator.settings import database_url
from orchestrator.store.connection import BoundedConnection
from orchestrator.store.engine import open_connection, open_database
from orchestrator.store.transaction import transact, words_of
from tests.acceptance.processes import Orchestrator
from tests.acceptance.waiting import eventually
from tests.command_line import CommandLine
from tests.database import Database, needs_a_session
from tests.integration.certificates import Certificate, self_signed
from tests.integration.encrypted import encrypted

NO_TLS = "server does not support SSL, but SSL was required"

# Of those that libpq tells again, values that are neither its defaults nor ours.
GIVEN = {
    "connect_timeout": "3",
    "keepalives": "0",
    "keepalives_idle": "11",
    "keepalives_interval": "12",
    "keepalives_count": "13",
    "tcp_user_timeout": "1400",
    "application_name": "of the URL",
    "sslmode": "allow",
    "target_session_attrs": "read-write",
    "options": "-c work_mem=5555kB",
}


def with_parameters(url: str, **parameters: str) -> str:
    """The same URL with these behind it."""
    query = urlencode(parameters, quote_via=quote)
    return f"{url}?{query}"


def used_by(connection: BoundedConnection) -> dict[str, str]:
    """The parameters that libpq has used, also those that it was not given."""
    return {
        one.keyword.decode(): one.val.decode()
        for one in connection.pgconn.info
        if one.val is not None
    }


def test_every_parameter_of_the_url_wins(database: Database) -> None:
    needs_a_session("options")
    url = database_url(with_parameters(database.service_url, **GIVEN))

    with closing(open_connection(url, name="ours")) as connection:
        used = used_by(connection)
        work_mem = connection.execute("SHOW work_mem").fetchone()

    assert {name: used[name] for name in GIVEN} == GIVEN
    assert work_mem == ("5555kB",)


def test_what_the_url_does_not_say_is_ours_and_nothing_is_sent_in_options(
    database: Database,
) -> None:
    """A pooler refuses `options`, or drops it."""
    with closing(open_connection(database.service_url, name="ours")) as connection:
        used = used_by(connection)

    ours = {
        "application_name": "ours",
        "connect_timeout": "2",
        "keepalives": "1",
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "2",
        "tcp_user_timeout": "5000",
    }
    assert {name: used[name] for name in ours} == ours
    assert not used.get("options")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"), "server")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"), "stranger")


@pytest.fixture
def tls_url(database: Database, certificate: Certificate) -> Iterator[str]:
    with encrypted(database.service_url, certificate) as url:
        yield url


def test_a_server_that_does_not_answer_is_not_asked_again_before_the_one_that_served(
    database: Database,
) -> None:
    place = urlsplit(database.service_url)
    with socket.create_server((LOOPBACK, 0)) as silent:
        silent.setblocking(False)
        hosts = f"{LOOPBACK}:{silent.getsockname()[1]},{place.hostname}:{place.port}"
        login = place.netloc.rpartition("@")[0]
        url = with_parameters(
            place._replace(netloc=f"{login}@{hosts}").geturl(), connect_timeout="1"
        )
        with closing(open_database(url)) as opened:
            for pool in opened.pools.values():
                transact(pool, lambda connection: connection.execute(text("SELECT 1")))

        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def is_encrypted(url: str) -> bool:
    """Whether a transaction of a pool's runs over TLS."""

    def work(connection: Connection) -> bool:
        connection.execute(text("SELECT 1"))
        link: Any = connection.connection.dbapi_connection
        return bool(link.pgconn.ssl_in_use)

    with closing(open_database(url)) as opened:
        return transact(opened.work, work)


def test_tls_is_used_when_the_url_requires_it(tls_url: str) -> None:
    url = with_parameters(tls_url, sslmode="require")

    assert is_encrypted(url)
    assert schema.status(url).at_head


def test_a_server_whose_certificate_is_trusted_is_spoken_to(
    tls_url: str, certificate: Certificate
) -> None:
    trusted = str(certificate.certificate)

    assert is_encrypted(with_parameters(tls_url, sslmode="verify-full", sslrootcert=trusted))


def test_a_server_whose_certificate_is_not_trusted_is_not(
    tls_url: str, stranger: Certificate
) -> None:
    url = with_parameters(tls_url, sslmode="verify-full", sslrootcert=str(stranger.certificate))

    with pytest.raises(Unavailable) as refused:
        is_encrypted(url)

    assert "certificate verify failed" in (words_of(refused.value) or "")
    assert "certificate" not in refused.value.message


def test_a_command_says_that_the_server_has_no_tls(
    without_tls: str, command_line: CommandLine
) -> None:
    ended = command_line.run("migrate", "status", DATABASE_URL=without_tls)

    assert ended.code == 69
    assert NO_TLS in ended.err


def test_an_orchestrator_says_so_in_its_log(without_tls: str, tmp_path: Path) -> None:
    orchestrator = Orchestrator("orchestrator", without_tls, tmp_path)
    try:
        orchestrator.launch()
        (said, *_) = eventually(lambda: orchestrator.said("keeper_cannot_tick"))
    finally:
        orchestrator.end()

    assert NO_TLS in said["said"]


@pytest.fixture
def without_tls(database: Database) -> str:
    """A URL that requires what the server does not have."""
    with closing(psycopg.connect(database.service_url)) as connection:
        if connection.pgconn.ssl_in_use:
            pytest.skip("this Postgres has TLS")
    return with_parameters(database.service_url, sslmode="require")

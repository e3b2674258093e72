"""Connections: pools that do not wait for each other, bounded waits, and transactions that end.

Renewals, reports and releases have a pool of their own, so that what keeps a
lease alive never waits behind claims and lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg
from psycopg.types.json import set_json_loads
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from orchestrator.metrics.catalogue import Metrics, Pool
from orchestrator.metrics.meter import Meter
from orchestrator.store.activity import Counted
from orchestrator.store.connection import BoundedConnection
from orchestrator.store.conninfo import beginning_with, each_server, unless_given
from orchestrator.store.counted import CountedTransactions
from orchestrator.store.known_limits import KnownLimits
from orchestrator.store.known_primary import KnownPrimary
from orchestrator.store.known_slots import KnownSlots
from orchestrator.store.pool import PatientPool, end_together
from orchestrator.store.tally import Tally
from orchestrator.store.timeline import timeline_of

STATEMENT_TIMEOUT_MS = 5_000
LOCK_TIMEOUT_MS = 4_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 5_000
POOL_TIMEOUT_SECONDS = 2
CONNECT_TIMEOUT_SECONDS = 2
RECYCLE_SECONDS = 1_800
ACCESS_CONNECTIONS = 1

# A connection that is cut off (a partition, a stopped machine) fails within
# the five seconds that a request may wait for the database.
_SOCKET: dict[str, Any] = {
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5_000,
}

# A prepared statement keeps its plan. One that was made while a table was small would read all
# of it, for each claim and each report, until autovacuum looks at the table again: a minute or
# more, in which it grows. Whatever these look up in a large table has its index. Where there is
# no other way than the whole table, Postgres up to 17 thinks it so dear that it would compile
# the plan.
PLANNING = {"enable_seqscan": "off", "jit": "off"}
_PLANNED = ", ".join(f"('{name}', '{value}')" for name, value in PLANNING.items())

# The role's own settings (`dibs migrate grants`) hold these, so that a pooler in
# transaction mode cannot drop them. A role without them gets them here, unless somebody has
# said otherwise: how to plan for this role, this database or this very connection.
_ON_CONNECT = f"""
SELECT pg_backend_pid(), pg_is_in_recovery(),
  CASE WHEN current_setting('statement_timeout') = '0'
       THEN set_config('statement_timeout', '{STATEMENT_TIMEOUT_MS}', false) END,
  CASE WHEN current_setting('lock_timeout') = '0'
       THEN set_config('lock_timeout', '{LOCK_TIMEOUT_MS}', false) END,
  CASE WHEN current_setting('idle_in_transaction_session_timeout') = '0'
       THEN set_config('idle_in_transaction_session_timeout',
                       '{IDLE_IN_TRANSACTION_TIMEOUT_MS}', false) END,
  (SELECT count(set_config(wanted.name, wanted.value, false))
     FROM (VALUES {_PLANNED}) AS wanted(name, value) JOIN pg_settings s USING (name)
    WHERE s.setting <> wanted.value
      AND s.source NOT IN ('database', 'user', 'database user', 'client', 'session'))
"""


# What is counted in all, beside what is counted by queue.
_COUNTED = (
    Counted.CREATED,
    Counted.CLAIMED,
    Counted.RETRIED,
    Counted.EXPIRED,
    Counted.FINISHED,
    Counted.FAILED,
    Counted.ABORTED,
)


@dataclass(frozen=True, slots=True)
class Database:
    """
    The pools of one process; `transaction.transact` uses them.

    Attributes:
        work: For claims, creates and reads.
        leases: For renewals, reports and releases, and the keeper.
        access: For reading the tokens, by one thread at a time.
        arrived: To be told, after COMMIT, how many runs have become claimable in which
            queues; those that are parked wait for it.
        limits: What this process knows of the queues' limits.
        slots: What it knows of what executors may still be given.
        metrics: What it counts.
        tally: What has happened here that is not written down yet.
        primary: What it has seen of the database's servers.
    """

    work: Engine
    leases: Engine
    access: Engine
    arrived: Callable[[Mapping[str, int]], None] = lambda _arrived: None
    limits: KnownLimits = field(default_factory=KnownLimits)
    slots: KnownSlots = field(default_factory=KnownSlots)
    metrics: Metrics = field(default_factory=lambda: Metrics(Meter()))
    tally: Tally = field(default_factory=Tally)
    primary: KnownPrimary = field(default_factory=KnownPrimary)

    @property
    def pools(self) -> Mapping[Pool, Engine]:
        return {Pool.WORK: self.work, Pool.LEASES: self.leases, Pool.ACCESS: self.access}

    def close(self) -> None:
        self.work.dispose()
        self.leases.dispose()
        self.access.dispose()


def open_database(
    url: str,
    *,
    work_connections: int = 8,
    lease_connections: int = 4,
    name: str = "dibs",
    arrived: Callable[[Mapping[str, int]], None] = lambda _arrived: None,
    metrics: Metrics | None = None,
) -> Database:
    """
    Prepare the pools; nothing is connected yet.

    Args:
        url: A libpq URL; it reaches libpq as it is, and wins over what is said here.
        name: `application_name`, as `pg_stat_activity` shows it.
        arrived: As in `Database`.
        metrics: Where this process counts; nobody is told of it unless they are given.
    """
    metrics = metrics or Metrics(Meter())
    primary = KnownPrimary()

    def pool(of: Pool, connections: int, name: str) -> Engine:
        counted = CountedTransactions.of_pool(metrics, of)
        return open_engine(
            url, connections=connections, name=name, counted=counted, primary=primary
        )

    database = Database(
        work=pool(Pool.WORK, work_connections, name),
        leases=pool(Pool.LEASES, lease_connections, f"{name}-leases"),
        access=pool(Pool.ACCESS, ACCESS_CONNECTIONS, f"{name}-access"),
        arrived=arrived,
        metrics=metrics,
        tally=Tally({counted: metrics.happened[counted] for counted in _COUNTED}),
        primary=primary,
    )
    end_together(list(database.pools.values()))
    return database


def open_engine(
    url: str,
    *,
    connections: int,
    name: str,
    counted: CountedTransactions | None = None,
    primary: KnownPrimary | None = None,
) -> Engine:
    """
    One pool of at most this many connections, each with bounded waits.

    Args:
        primary: What the process has seen; what this pool sees is told to it.
    """
    known = primary or KnownPrimary()
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: _connect(url, name, known),
        poolclass=PatientPool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        pool_recycle=RECYCLE_SECONDS,
        pool_pre_ping=False,
        pool_use_lifo=True,
        hide_parameters=True,
        json_deserializer=_raw,
        execution_options=counted.carried() if counted else {},
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "invalidate", _forget_server)
    return engine


def open_connection(
    url: str, *, name: str, primary: KnownPrimary | None = None
) -> BoundedConnection:
    """
    One connection outside of any pool, with the same bounds.

    Raises:
        psycopg.Error: The server cannot be reached, or is a standby.
    """
    return _connect(url, name, primary or KnownPrimary())


class ServesNothing(psycopg.OperationalError):
    """A server that answers, and must not be served from."""


def _connect(url: str, name: str, known: KnownPrimary) -> BoundedConnection:
    """Connect to a server of the URL that may be served from; the last one is asked first."""
    try:
        return _connect_serving(beginning_with(url, known.server), name, known)
    except ServesNothing:
        # libpq is content with it. Of several another may be the one that took over.
        servers = each_server(url)
        for server in servers if len(servers) > 1 else ():
            with suppress(psycopg.OperationalError):
                return _connect_serving(server, name, known)
        raise


def _connect_serving(url: str, name: str, known: KnownPrimary) -> BoundedConnection:
    connection = BoundedConnection.connect(
        url, **unless_given(url, application_name=name, **_SOCKET)
    )
    try:
        _bound(connection, known)
    except BaseException:
        connection.close()
        raise
    return connection


def _raw(text: bytes | str) -> orjson.Fragment:
    """
    A jsonb value as it stands, never parsed.

    It goes into an answer as it is: numbers of any size stay exact, and a
    claim of 500 runs costs no parsing.
    """
    return orjson.Fragment(text)


def _prepare(connection: BoundedConnection, _entry: ConnectionPoolEntry) -> None:
    # SQLAlchemy has set the loads for jsonb; json alone would still be parsed.
    set_json_loads(_raw, connection)
    connection.listen_for_warnings()


def _forget_server(connection: BoundedConnection, *_: object) -> None:
    """Ask the servers in the URL's order again: the one that served last has failed somebody."""
    if connection.known_primary is not None:
        connection.known_primary.forget(connection.server)


def _bound(connection: BoundedConnection, known: KnownPrimary) -> None:
    backend_pid, in_recovery, *_ = connection.execute(_ON_CONNECT).fetchone() or (0, True)
    connection.rollback() if in_recovery else connection.commit()
    if in_recovery:
        raise ServesNothing("the server is in recovery: a standby serves nothing")
    connection.timeline, connection.known_primary = timeline_of(connection), known
    if not known.see(connection.timeline):
        raise ServesNothing("another server has taken over from this one: it serves nothing")
    connection.server = known.server = connection.info.host, connection.info.port
    if backend_pid != connection.info.backend_pid:
        # A pooler stands between: the next transaction may run on another
        # backend, which knows nothing of what this one prepared.
        connection.pooled = True
        connection.prepare_threshold = None
    else:
        connection.prepare_threshold = 2

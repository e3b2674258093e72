"""One transaction from its first statement to the answer.

Nothing is answered before COMMIT. What the database says is told in three
words: do it again here (deadlock, serialisation), try later (503), or: whether
it took effect is not known. Then it is looked up, and only what cannot be
looked up is 503 `outcome-unknown`: ask again with the same key.
"""

from __future__ import annotations

import itertools
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from orchestrator.errors import DibsError, OutcomeUnknown, Overloaded, Unavailable
from orchestrator.store.connection import BoundedConnection
from orchestrator.store.counted import counted_by
from orchestrator.store.patience import patience, seconds_left
from orchestrator.store.pool import give_up
from orchestrator.store.replication import vouch
from orchestrator.tracing import transaction

Result = TypeVar("Result")

log = structlog.get_logger(__name__)

TRIES = 4
# With less than this left no further attempt is worth its beginning.
LAST_CHANCE_SECONDS = 0.5

_TRY_AGAIN_HERE = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "26000",  # invalid_sql_statement_name: somebody has dropped what this session had prepared
}
_BUSY = {
    "55P03",  # lock_not_available: another request holds the row longer than we wait
    "57014",  # query_canceled: the statement's time-out
    "53300",  # too_many_connections
    "53200",  # out_of_memory
}
_AWAY_CLASSES = ("08", "53", "57", "58", "XX", "25")
# read_only_sql_transaction: another server has taken over from this one, or will.
_READ_ONLY = "25006"
# libpq keeps the SQLSTATE of a refused connection to itself. These are the words of
# Postgres and of PgBouncer; in another language the answer is `unavailable` instead.
_FULL = re.compile(r"too many (clients|connections)|connection slots are reserved|max_client_conn")


def transact(
    engine: Engine,
    work: Callable[[Connection], Result],
    *,
    look_up: Callable[[Connection], Result] | None = None,
    committing: Callable[[], None] = lambda: None,
) -> Result:
    """
    Run `work` in one transaction and commit it, within the request's `patience`.

    `work` is called again after a deadlock or a connection that turned out to be
    dead before anything was committed, so it must keep what it changes outside
    the database to itself. It may end the transaction itself when it found nothing to do.

    Args:
        look_up: Called when a COMMIT was not answered: does the work if it was not
            done, and gives what it gave if it was. `work` itself unless told
            otherwise, which must then recognise what it did before. Whatever it
            locks waits for the end of the first.
        committing: Called each time when nothing is left but COMMIT.

    Raises:
        Unavailable: The database is away or hangs, or this server is a standby.
        Overloaded: No connection was free, or a lock or statement took too long.
        OutcomeUnknown: A COMMIT was sent and not answered, and could not be looked up.
    """
    with patience(), transaction():
        return _until_known(engine, work, look_up or work, committing)


def _until_known(
    engine: Engine,
    work: Callable[[Connection], Result],
    look_up: Callable[[Connection], Result],
    committing: Callable[[], None],
) -> Result:
    unknown: OutcomeUnknown | None = None
    for tries in itertools.count(1):
        try:
            if unknown is None:
                return _once(engine, work, committing)
            return _once(engine, look_up, committing, vouching=True)
        except _Again as again:
            failure, cause = unknown or again.refusal, again.__cause__
            if counted := counted_by(engine):
                counted.repeated.add()
        except OutcomeUnknown as error:
            unknown = failure = error
            cause = error.__cause__
            if counted := counted_by(engine):
                counted.unknown.add()
        except Unavailable as error:
            if unknown is None:
                raise
            failure, cause = unknown, error.__cause__
        # A COMMIT is looked up for as long as the time allows: the server may be starting.
        pause_seconds = 0.1 if unknown else random.uniform(0, 0.02)  # noqa: S311
        given_up = unknown is None and tries == TRIES
        if given_up or seconds_left() <= LAST_CHANCE_SECONDS:
            raise failure from cause
        time.sleep(pause_seconds)
    raise AssertionError("unreachable")


class _Again(Exception):
    """This attempt had no effect and may be repeated."""

    def __init__(self, refusal: DibsError):
        super().__init__(refusal.message)
        self.refusal = refusal


def _once(
    engine: Engine,
    work: Callable[[Connection], Result],
    committing: Callable[[], None],
    *,
    vouching: bool = False,
) -> Result:
    try:
        connection = engine.connect()
    except PoolTimeout as error:
        raise Overloaded("All database connections are in use.", retry_after_seconds=1) from error
    except DBAPIError as error:
        raise _refusal(error, full=bool(_FULL.search(str(error.orig)))) from error
    with connection:
        try:
            result = work(connection)
            if vouching:
                vouch(connection)
        except DBAPIError as error:
            if sqlstate_of(error) in _TRY_AGAIN_HERE or error.connection_invalidated:
                raise _Again(_refusal(error)) from error
            if is_the_items_fault(error):
                raise
            if sqlstate_of(error) == _READ_ONLY:
                give_up(connection, error)
            raise _refusal(error) from error
        _require_newest_server(connection)
        committing()
        has_something = connection.in_transaction()
        try:
            _commit(connection)
        except DBAPIError as error:
            if sqlstate_of(error) in _TRY_AGAIN_HERE:
                raise _Again(_refusal(error)) from error
            raise _unknown() from error
        if has_something and (counted := counted_by(engine)):
            counted.committed.add()
        return result


def _require_newest_server(connection: Connection) -> None:
    """Commit nothing, and tell nothing, where another server has taken over meanwhile."""
    if _link(connection).is_superseded:
        log.warning("database_superseded")
        refusal = Unavailable("Another database server has taken over.", retry_after_seconds=1)
        give_up(connection, refusal)
        raise _Again(refusal)


def _commit(connection: Connection) -> None:
    """Commit, and believe it when the server had nothing to add."""
    if not _committed_with_a_warning(connection):
        return
    # The wait for a synchronous standby was cancelled: committed here, perhaps not
    # there. A later COMMIT of the same server is answered when both are there.
    if _link(connection).pooled:
        raise _unknown()
    vouch(connection)
    if _committed_with_a_warning(connection):
        raise _unknown()


def _committed_with_a_warning(connection: Connection) -> bool:
    link = _link(connection)
    link.warned = False
    connection.commit()
    return link.warned


def _link(connection: Connection) -> BoundedConnection:
    link: BoundedConnection = connection.connection.dbapi_connection  # type: ignore[assignment]
    return link


def _unknown() -> OutcomeUnknown:
    return OutcomeUnknown(
        "The database did not say whether this was stored: ask again with the same key.",
        retry_after_seconds=1,
    )


def is_the_items_fault(error: DBAPIError) -> bool:
    """Whether a value or a guard was refused (classes 22 and 23), not the transaction."""
    return (sqlstate_of(error) or "")[:2] in ("22", "23")


def constraint_of(error: DBAPIError) -> str | None:
    """The named constraint or guard that refused."""
    original = error.orig
    return original.diag.constraint_name if isinstance(original, psycopg.Error) else None


def sqlstate_of(error: DBAPIError) -> str | None:
    """What the server called it; None when no server said anything."""
    original = error.orig
    return original.sqlstate if isinstance(original, psycopg.Error) else None


def words_of(refusal: DibsError) -> str | None:
    """What was said to a connection that could not be made, for a log; None of all else."""
    cause = refusal.__cause__
    if not isinstance(cause, DBAPIError) or sqlstate_of(cause) is not None:
        return None
    return str(cause.orig).strip().partition("\n")[0]


def _refusal(error: DBAPIError, *, full: bool = False) -> DibsError:
    state = sqlstate_of(error)
    if full or state in _BUSY:
        return Overloaded("The database is busy.", retry_after_seconds=1)
    if state is None or state.startswith(_AWAY_CLASSES) or state in _TRY_AGAIN_HERE:
        return Unavailable("The database is not available.", retry_after_seconds=1)
    # A statement that this schema does not know, or a grant that is missing: a surprise.
    # The primary message names objects; DETAIL, which may hold a row, stays out.
    primary = error.orig.diag.message_primary if isinstance(error.orig, psycopg.Error) else None
    log.error("database_refused", sqlstate=state, message=primary)
    return Unavailable("The database refused this.", retry_after_seconds=1)

"""Statements that one connection has prepared, and asks by libpq's own calls.

psycopg's cursor counts how often it saw a statement, looks at the type of each value and
waits for BEGIN before it sends anything else. For the few statements that every run passes
through that costs more than asking does. Here a statement is prepared when it is first
asked, its values are text that the server reads by the statement's own casts, and BEGIN
travels with the first one. Waiting, time-outs, errors and rows stay psycopg's.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import generators
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

if TYPE_CHECKING:
    from orchestrator.store.connection import BoundedConnection

Row = tuple[Any, ...]
Asking = Generator[Any, Any, list[Row]]


class Prepared:
    """What one connection has prepared by itself; psycopg knows nothing of it."""

    def __init__(self, link: BoundedConnection) -> None:
        self._link = link
        self._encoding = link.info.encoding
        self._loaded = Transformer(link)
        self._names: dict[bytes, bytes] = {}
        self._numbers = count()

    def ask(self, statement: bytes, values: Sequence[str | None]) -> Asking:
        """
        Send it, after BEGIN when no transaction is open, and read its rows; for `Connection.wait`.

        Args:
            statement: With `$1` and so on, each of which it casts or compares with something
                that has a type.
            values: As Postgres reads them.

        Raises:
            psycopg.Error: As a cursor does.
        """
        sent = [self._encoded(value) for value in values]
        pgconn = self._link.pgconn
        begins = pgconn.transaction_status == TransactionStatus.IDLE
        name = self._names.get(statement)
        if name is not None and not begins:
            pgconn.send_query_prepared(name, sent)
            results = yield from generators.execute(pgconn)
        else:
            pgconn.enter_pipeline_mode()
            if begins:
                pgconn.send_query_params(b"BEGIN", None)
            if self._link.pooled:
                # Another backend may serve the next transaction, and knows no names.
                pgconn.send_query_params(statement, sent)
            else:
                if name is None:
                    name = b"dibs_%d" % next(self._numbers)
                    pgconn.send_prepare(name, statement)
                pgconn.send_query_prepared(name, sent)
            pgconn.pipeline_sync()
            results = yield from self._until_sync()
            pgconn.exit_pipeline_mode()
        for result in results:
            if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
                raise error_from_result(result, encoding=self._encoding)
        if name is not None:
            self._names[statement] = name
        return self._rows(results[-1])

    def forget(self) -> None:
        """Drop all that is prepared, whoever prepared it: psycopg forgets its own at a ROLLBACK."""
        if self._names:
            self._names.clear()
            self._link.wait(self._deallocate())

    def _deallocate(self) -> Generator[Any, Any, None]:
        self._link.pgconn.send_query(b"DEALLOCATE ALL")
        yield from generators.execute(self._link.pgconn)

    def _until_sync(self) -> Generator[Any, Any, list[PGresult]]:
        pgconn = self._link.pgconn
        yield from generators.send(pgconn)
        results: list[PGresult] = []
        while True:
            got = yield from generators.fetch_many(pgconn)
            if not got:
                raise psycopg.OperationalError("the connection ended before it answered")
            if got[-1].status == ExecStatus.PIPELINE_SYNC:
                return results
            results += got

    def _rows(self, result: PGresult) -> list[Row]:
        self._loaded.set_pgresult(result)
        rows: list[Row] = self._loaded.load_rows(0, result.ntuples, tuple)
        # Up to 8 MiB, which the connection would hold until it is asked again.
        self._loaded.set_pgresult(None)
        return rows

    def _encoded(self, value: str | None) -> bytes | None:
        if value is None:
            return None
        if "\0" in value:
            # libpq would take what stands before it.
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        return value.encode(self._encoding)

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
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import generators
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

if TYPE_CHECKING:
    from orchestrator.store.connection import BoundedConnection

Row = tuple[Any, ...]
Asking = Generator[Any, Any, list[list[Row]]]


class Question(NamedTuple):
    """
    A statement, and what it is asked with.

    Attributes:
        statement: With `$1` and so on, each of which it casts or compares with something
            that has a type.
        values: As Postgres reads them.
    """

    statement: bytes
    values: Sequence[str | None]


class Prepared:
    """What one connection has prepared by itself; psycopg knows nothing of it."""

    def __init__(self, link: BoundedConnection) -> None:
        self._link = link
        self._encoding = link.info.encoding
        self._loaded = Transformer(link)
        self._names: dict[bytes, bytes] = {}
        self._numbers = count()

    def ask(self, questions: Sequence[Question]) -> Asking:
        """
        Send them all, after BEGIN when no transaction is open, and read the rows of each; for
        `Connection.wait`. After one that fails none is answered.

        Raises:
            psycopg.Error: As a cursor does.
        """
        pgconn = self._link.pgconn
        sent = [(each.statement, self._encoded(each.values)) for each in questions]
        begins = pgconn.transaction_status == TransactionStatus.IDLE
        new = [] if self._link.pooled else self._newly_named(questions)
        if begins or new or len(sent) > 1:
            pgconn.enter_pipeline_mode()
            try:
                if begins:
                    pgconn.send_query_params(b"BEGIN", None)
                for statement in new:
                    pgconn.send_prepare(self._names[statement], statement)
                for statement, values in sent:
                    self._send(statement, values)
                pgconn.pipeline_sync()
                results = yield from self._until_sync()
                pgconn.exit_pipeline_mode()
            except BaseException:
                # Nobody knows what was sent, and what of it is still to be answered.
                pgconn.finish()
                raise
        else:
            self._send(*sent[0])
            results = yield from generators.execute(pgconn)
        for result in results:
            if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
                raise error_from_result(result, encoding=self._encoding)
        return [self._rows(result) for result in results[-len(sent) :]]

    def forget(self) -> None:
        """Drop all that is prepared, whoever prepared it: psycopg forgets its own at a ROLLBACK."""
        if self._names:
            self._names.clear()
            self._link.wait(self._deallocate())

    def _newly_named(self, questions: Sequence[Question]) -> list[bytes]:
        """Statements that are to be prepared. What fails ends in a rollback, which forgets them."""
        asked = dict.fromkeys(each.statement for each in questions)
        new = [statement for statement in asked if statement not in self._names]
        for statement in new:
            self._names[statement] = b"dibs_%d" % next(self._numbers)
        return new

    def _send(self, statement: bytes, values: Sequence[bytes | None]) -> None:
        name = self._names.get(statement)
        if name is None:
            # Behind a pooler another backend may serve the next transaction, and knows no names.
            self._link.pgconn.send_query_params(statement, values)
        else:
            self._link.pgconn.send_query_prepared(name, values)

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

    def _encoded(self, values: Sequence[str | None]) -> list[bytes | None]:
        if any("\0" in value for value in values if value):
            # libpq would take what stands before it.
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        return [None if value is None else value.encode(self._encoding) for value in values]

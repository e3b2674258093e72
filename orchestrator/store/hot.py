"""The hot statements: they reach the driver without SQLAlchemy in between.

What Core does for a statement beside sending it (contexts, the description of fifty
columns, rows with names) costs as much as everything else together when a claim
fetches one run. The few statements that every run passes through go around it:
parsed once, numbered as Postgres wants them, asked by `prepared`, rows as plain tuples.
The connection, its transaction and its errors stay SQLAlchemy's. Figures: docs/performance.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any
from uuid import UUID

import psycopg
import sqlalchemy
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError

from orchestrator.store.connection import BoundedConnection
from orchestrator.store.pool import give_up
from orchestrator.store.prepared import Question, Row

_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]
_PARAMETER = re.compile(r"%\((\w+)\)s")


class HotStatement:
    """
    A statement, parsed.

    Attributes:
        text: As SQLAlchemy would hand it to the driver; whoever listens to what a pool
            sends sees it so.
    """

    def __init__(self, statement: str) -> None:
        self.text = str(sqlalchemy.text(statement).compile(dialect=_DIALECT))
        self._names = list(dict.fromkeys(_PARAMETER.findall(self.text)))
        numbers = {name: f"${number}" for number, name in enumerate(self._names, 1)}
        numbered = _PARAMETER.sub(lambda found: numbers[found[1]], self.text)
        self._numbered = numbered.replace("%%", "%").encode()

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[Row]:
        """
        Send it with these values, lists as arrays, within the connection's transaction.

        The server knows a value's type from the statement alone: each is cast there, or
        compared with something that has a type.

        Raises:
            DBAPIError: As `Connection.execute` does.
        """
        return together(connection, [(self, values)])[0]

    def question(self, values: Mapping[str, Any]) -> Question:
        """As the connection is asked it."""
        return Question(self._numbered, [_sent(values[name]) for name in self._names])


Asked = tuple[HotStatement, Mapping[str, Any]]


def together(connection: Connection, asked: Sequence[Asked]) -> list[list[Row]]:
    """
    The rows of each, for the time that one takes on its way. Each sees what was committed
    before it is its turn.

    Raises:
        DBAPIError: As `Connection.execute` does. Nothing was done after the one that failed.
    """
    if not connection.in_transaction():
        connection.begin()
    link: BoundedConnection = connection.connection.dbapi_connection  # type: ignore[assignment]
    # Like Core, which looks whether anybody listens: telling nobody takes 4 µs.
    heard = asked if connection._has_events or connection.engine._has_events else ()  # noqa: SLF001
    told = [(connection, None, statement.text, values, None, False) for statement, values in heard]
    for each in told:
        connection.dispatch.before_cursor_execute(*each)
    try:
        questions = [statement.question(values) for statement, values in asked]
        rows = link.wait(link.prepared.ask(questions))
    except psycopg.Error as error:
        is_disconnect = connection.dialect.is_disconnect(error, link, None)  # type: ignore[arg-type]
        if is_disconnect:
            give_up(connection, error)
        raise DBAPIError.instance(
            " ".join(statement.text for statement, _ in asked),
            None,
            error,
            psycopg.Error,
            hide_parameters=True,
            connection_invalidated=is_disconnect,
            dialect=connection.dialect,
        ) from error
    for each in told:
        connection.dispatch.after_cursor_execute(*each)
    return rows


@cache
def hot(statement: str) -> HotStatement:
    """A statement that is made of constants only."""
    return HotStatement(statement)


def _sent(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return array(value) if isinstance(value, list) else _plain(value)


def array(values: Sequence[Any]) -> str:
    """An array as Postgres reads it, for a parameter that is CAST to its type."""
    written = [_WRITERS.get(type(value), _quoted)(value) for value in values]
    return f"{{{','.join(written)}}}"


def _quoted(value: Any) -> str:
    return '"' + str(value).replace("\\", r"\\").replace('"', r"\"") + '"'


def _hex(value: bytes) -> str:
    return f"\\x{value.hex()}"


def _quoted_hex(value: bytes) -> str:
    return f'"\\{_hex(value)}"'


def _null(_: None) -> str:
    return "NULL"


def _plain(value: Any) -> str:
    return _hex(value) if isinstance(value, bytes) else str(value)


_WRITERS: Mapping[type, Callable[[Any], str]] = {
    int: str,
    bool: str,
    UUID: attrgetter("hex"),
    bytes: _quoted_hex,
    type(None): _null,
}

"""The statements that Dibs sends, as it sends them, and the plans they get."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, event

from orchestrator.store.engine import PLANNING

Plan = dict[str, Any]

# Indexes that hold all rows, beside the primary keys.
COMPLETE = {"workflowRuns_queue"}

_PARAMETER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True)
class Statement:
    """One statement as the driver got it, and its values by name."""

    text: str
    values: dict[str, Any]


@contextmanager
def captured(engine: Engine) -> Iterator[list[Statement]]:
    """Every statement that this pool sends meanwhile."""
    statements: list[Statement] = []

    def note(
        _connection: Connection, _cursor: object, text: str, values: dict[str, Any], *_: object
    ) -> None:
        statements.append(Statement(text, dict(values or {})))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


def plan(connection: psycopg.Connection, statement: Statement, *, generic: bool) -> Plan:
    """
    The plan that the service's sessions make of a prepared statement, which is not executed.

    Args:
        generic: The one plan for all values that Postgres may turn to after five
            executions; else the plan for these values.
    """
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    text = _PARAMETER.sub(number, statement.text).replace("%%", "%")
    mode = "force_generic_plan" if generic else "force_custom_plan"
    with connection.transaction(force_rollback=True):
        connection.execute(f"SET LOCAL plan_cache_mode = {mode}".encode())
        for name, value in PLANNING.items():
            connection.execute(f"SET LOCAL {name} = {value}".encode())
        connection.execute(f"PREPARE examined AS {text}".encode())
        values = sql.SQL(", ").join(sql.Literal(statement.values[name]) for name in names)
        given = sql.SQL("({})").format(values) if names else sql.SQL("")
        found = connection.execute(
            sql.SQL("EXPLAIN (FORMAT JSON) EXECUTE examined {}").format(given)
        ).fetchone()
        connection.execute("DEALLOCATE examined")
    assert found is not None
    root: Plan = found[0][0]["Plan"]
    return root


def nodes(root: Plan) -> Iterator[Plan]:
    """A plan's nodes, from the top down."""
    yield root
    for child in root.get("Plans", ()):
        yield from nodes(child)


def find(root: Plan, wanted: Callable[[Plan], bool]) -> Plan:
    """The first node that is wanted."""
    return next(node for node in nodes(root) if wanted(node))


def scans_whole(root: Plan, table: str) -> bool:
    """Whether the plan reads the whole table anywhere, or all of an index that holds all of it."""
    return any(_table_of(node) == table and _scans_whole(node) for node in nodes(root))


def _scans_whole(node: Plan) -> bool:
    index = node.get("Index Name", "")
    is_complete = index.endswith("_pkey") or index in COMPLETE
    return node["Node Type"] == "Seq Scan" or (is_complete and "Index Cond" not in node)


def _table_of(node: Plan) -> str:
    table: str = node.get("Relation Name") or node.get("Index Name", "").split("_")[0]
    return table

"""Where each row of the list is tested, as the marks in the tests say."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.bench.page import Table
from tests.chaos.rows import ROWS

TESTS = Path(__file__).parents[1]
BY_COMMAND = {
    "F41": "`make bench-backlog`",
    "F43": "`make bench-backlog`",
    "F59": "`make soak`",
}


def markdown_places() -> str:
    """A line for each row: which modules test it, and by how many tests."""
    found: dict[str, Counter[str]] = {name: Counter() for name in ROWS}
    for module in sorted(TESTS.rglob("test_*.py")):
        for row in _marked(ast.parse(module.read_text(encoding="utf-8"))):
            found[row][module.relative_to(TESTS).as_posix()] += 1
    return Table(
        ("fault", "what", "tested by"),
        [(name, ROWS[name], _cell(name, found[name])) for name in ROWS],
    ).markdown()


def _cell(name: str, modules: Counter[str]) -> str:
    places = [
        f"`{module}`" + (f" ({times})" if times > 1 else "") for module, times in modules.items()
    ]
    if name in BY_COMMAND:
        places.append(BY_COMMAND[name])
    return ", ".join(places) or "–"


def _marked(tree: ast.Module) -> Iterator[str]:
    """The rows of each test, and of `pytestmark` once for the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for decorator in node.decorator_list:
                yield from _rows_in(decorator)
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets
        ):
            yield from _rows_in(node.value)


def _rows_in(expression: ast.expr) -> Iterator[str]:
    for node in ast.walk(expression):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "fault"
        ):
            yield from (str(word.value) for word in node.args if isinstance(word, ast.Constant))

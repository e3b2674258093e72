"""What the commands print: tables for people, JSON for programs."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.visible_text import visible

as_json = click.option("--json", "as_json", is_flag=True, help="Print the API's JSON.")


def say(text: str = "", *, err: bool = False) -> None:
    """
    Some lines for people: the one way to the terminal beside `print_table`.

    Whatever came from a run, a file or a server may hold escape codes that rewrite
    the terminal; here the last of them is written out.
    """
    click.echo("\n".join(printable(line) for line in text.split("\n")), err=err)


def print_json(value: Any) -> None:
    """One JSON document, in which every character that is not plain ASCII is written out."""
    say(json.dumps(value, indent=2, ensure_ascii=True))


def print_object(value: dict[str, Any], *, as_json: bool) -> None:
    """One object of the API."""
    if as_json:
        print_json(value)
    else:
        print_fields(value.items())


def print_table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table as wide as the terminal; nothing is cut off where the output is no terminal."""
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(printable(cell), overflow="fold") for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 1_000
    console.print(table)


def print_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """Names and values below each other; empty ones are left out."""
    shown = [(name, printable(value)) for name, value in fields if value not in (None, "")]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        say(f"{name.ljust(width)}  {value}")


def printable(value: Any) -> str:
    """
    A value as text without control characters.

    Whatever came from a run may hold escape codes that rewrite the terminal.
    """
    if value is None:
        return ""
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))

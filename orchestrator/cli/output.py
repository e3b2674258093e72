"""What the commands print: tables for people, JSON for programs."""

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import click
from rich.console import Console

from orchestrator.cli.failure import CANNOT_CREATE, NOBODY_READS, Failure
from orchestrator.cli.table import Column, lay_out
from orchestrator.visible_text import visible

as_json = click.option("--json", "as_json", is_flag=True, help="Print the API's JSON.")


def prepare_streams() -> None:
    """
    Make standard output and standard error such that writing to them works or is an `OSError`.

    Characters that the terminal's encoding does not know are written out.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # It was closed before we began (`>&-`): nothing can be written to this one either.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDONLY), "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str = "", *, err: bool = False) -> None:
    """
    Some lines for people: the one way to the terminal beside `print_table`.

    Whatever came from a run, a file or a server may hold escape codes that rewrite
    the terminal; here the last of them is written out.
    """
    _write("\n".join(printable(line) for line in text.split("\n")) + "\n", err=err)


def print_json(value: Any) -> None:
    """One JSON document, in which every character that is not plain ASCII is written out."""
    say(json.dumps(value, indent=2, ensure_ascii=True))


def print_json_line(value: Any) -> None:
    """One JSON document in one line, for programs that read line by line."""
    say(json.dumps(value, ensure_ascii=True))


def print_object(value: dict[str, Any], *, as_json: bool) -> None:
    """One object of the API."""
    if as_json:
        print_json(value)
    else:
        print_fields(value.items())


def print_table(headings: Sequence[str | Column], rows: Iterable[Sequence[Any]]) -> None:
    """
    A table that fits the terminal, or as wide as it takes where the output is none.

    Where COLUMNS is set it is heeded in either case. Columns that there is no room for
    are named on standard error.
    """
    columns = [heading if isinstance(heading, Column) else Column(heading) for heading in headings]
    console = Console(highlight=False)
    fits = sys.stdout.isatty() or bool(os.environ.get("COLUMNS"))
    texts = [[printable(cell) for cell in row] for row in rows]
    layout = lay_out(columns, texts, console.width if fits else None)
    if not fits:
        console.width = layout.width
    with _writing(sys.stdout), console.capture() as captured:
        console.print(layout.table)
    _write(captured.get(), err=False)
    if layout.left_out:
        say(f"no room for {', '.join(layout.left_out)} (--json has all)", err=True)


def print_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """Names and values below each other; empty ones are left out."""
    shown = [(name, printable(value)) for name, value in fields if value not in (None, "")]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        say(f"{name.ljust(width)}  {value}")


def to_the_second(time: str | None) -> str | None:
    """A time of the API as lists have it: shorter, and still UTC."""
    return None if time is None else f"{time[:10]} {time[11:19]}Z"


def printable(value: Any) -> str:
    """
    A value as text without control characters.

    Whatever came from a run may hold escape codes that rewrite the terminal.
    """
    if value is None:
        return ""
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _write(text: str, *, err: bool) -> None:
    # Looked up anew: while a bar is shown, what is printed has to go past it.
    stream = sys.stderr if err else sys.stdout
    with _writing(stream):
        stream.write(text)
        stream.flush()


@contextmanager
def _writing(stream: TextIO) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # What is still in the stream's buffer must not be tried again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(NOBODY_READS)
        said = f"The output cannot be written: {error.strerror}."
        raise Failure(said, CANNOT_CREATE) from error

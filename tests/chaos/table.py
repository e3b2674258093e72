"""The table of faults, for the terminal and for the page."""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import chain

from rich import box
from rich.console import Console
from rich.table import Table as ShownTable

from tests.bench.page import Table
from tests.chaos.outcomes import HEADINGS, Outcome, rows_of

# Where nobody looks at a terminal it is as wide as it has to be.
WIDTH = 170
# Columns of text; the others are figures.
WORDS = 2


def shown_table(outcomes: Iterable[Outcome]) -> str:
    """For the terminal, each row with its end of line."""
    shown = ShownTable(box=box.SIMPLE_HEAD, padding=(0, 1))
    for number, heading in enumerate(HEADINGS):
        shown.add_column(heading, justify="left" if number < WORDS else "right")
    for row in rows_of(outcomes):
        shown.add_row(*row.line())
    text = io.StringIO()
    Console(file=text, width=WIDTH, highlight=False, markup=False).print(shown)
    return text.getvalue()


def markdown_table(outcomes: Iterable[Outcome]) -> str:
    """For the page."""
    return Table(HEADINGS, [row.line() for row in rows_of(outcomes)]).markdown()


def lines_of(outcomes: Iterable[Outcome]) -> list[str]:
    """What the rows say besides, a line each."""
    return list(chain.from_iterable(row.notes() for row in rows_of(outcomes)))

"""A table, laid out for the width that there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import OverflowMethod
from rich.table import Table
from rich.text import Text

GAP = 2
# A column is folded down to this before another one gives way to it.
FOLDED = 20

# How a run's or an executor's state is coloured, where there are colours.
STATE_STYLES: Mapping[str, str] = {
    "pending": "cyan",
    "loading": "blue",
    "started": "blue",
    "waiting": "yellow",
    "outcome unknown": "bold yellow",
    "finished": "green",
    "failed": "red",
    "active": "green",
    "draining": "yellow",
    "quarantined": "red",
    "paused": "yellow",
}


@dataclass(frozen=True)
class Column:
    """
    What is known of a column before there are rows.

    Attributes:
        whole: Its cells are never folded: they are there to be copied.
        spare: How well it can be spared on a narrow terminal; the highest goes first, 0 never.
        right: Whether it holds numbers, which stand at its right.
        styles: How cells with these texts look.
    """

    heading: str
    whole: bool = False
    spare: int = 0
    right: bool = False
    styles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """
    A table that fits.

    Attributes:
        width: What it takes without a fold, in cells.
        left_out: The headings of the columns for which there was no room.
    """

    table: Table
    width: int
    left_out: tuple[str, ...]


def lay_out(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int | None,
    *,
    folded: bool = True,
) -> Layout:
    """
    The columns that can be shown in so many cells; what is left too wide is folded.

    Args:
        width: None for as wide as it takes.
        folded: If not, it is cut off instead: each row is one line.
    """
    widths = [
        max([cell_len(column.heading), *(cell_len(row[place]) for row in rows)])
        for place, column in enumerate(columns)
    ]
    least = [
        each if column.whole else min(each, FOLDED)
        for column, each in zip(columns, widths, strict=True)
    ]
    kept = list(range(len(columns)))
    while width is not None and _total(least, kept) > width:
        most = max(kept, key=lambda place: columns[place].spare)
        if not columns[most].spare:
            break
        kept.remove(most)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place in kept:
        column = columns[place]
        table.add_column(
            column.heading,
            no_wrap=column.whole or not folded,
            min_width=widths[place] if column.whole else None,
            justify="right" if column.right else "left",
        )
    for row in rows:
        table.add_row(*(_cell(columns[place], row[place], folded=folded) for place in kept))
    gone = (place for place in range(len(columns)) if place not in kept)
    return Layout(table, _total(widths, kept), tuple(columns[place].heading for place in gone))


def _total(widths: Sequence[int], kept: Sequence[int]) -> int:
    return sum(widths[place] for place in kept) + GAP * (len(kept) - 1)


def _cell(column: Column, text: str, *, folded: bool) -> Text:
    overflow: OverflowMethod = "fold" if folded else "ellipsis"
    return Text(text, style=column.styles.get(text, ""), overflow=overflow)

"""Tables as people read them: on the terminal, and in `docs/performance.md`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as ShownTable

PAGE = Path(__file__).parent.parent.parent / "docs" / "performance.md"

# Where nobody looks at a terminal: as wide as the widest table.
WIDTH = 150

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """
    Headings and rows.

    Attributes:
        words: How many columns are text; the others, behind them, are figures.
    """

    headings: Row
    rows: Sequence[Row]
    words: int = 1

    def shown(self) -> ShownTable:
        """For the terminal."""
        table = ShownTable(box=box.SIMPLE_HEAD, padding=(0, 1))
        for number, heading in enumerate(self.headings):
            if number < self.words:
                table.add_column(heading, no_wrap=number == 0)
            else:
                table.add_column(heading.replace(", ", "\n"), justify="right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For the page."""
        marks = ["---" if number < self.words else "---:" for number in range(len(self.headings))]
        return "\n".join(
            "| " + " | ".join(line) + " |" for line in (self.headings, marks, *self.rows)
        )


def paper() -> Console:
    """Standard output, for tables and the lines below them."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDTH)


def yes(is_met: bool) -> str:
    """Whether a target is met, so that a `no` cannot be overlooked."""
    return "yes" if is_met else "NO"


def write_section(name: str, markdown: str, *, page: Path = PAGE) -> None:
    """Put this between the marks of a section of a page; what stands around them stays."""
    begins, ends = f"<!-- {name} begins -->", f"<!-- {name} ends -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begins)
    _, _, after = rest.partition(ends)
    page.write_text(f"{before}{begins}\n{markdown}\n{ends}{after}", encoding="utf-8")

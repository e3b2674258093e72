"""What came of the mutants, as people read it: on the terminal, and in a document."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from tests.chaos.mutants.trial import Tried

HEADINGS = ("mutant", "promise", "noticed by", "red in s")


def shown(all_tried: Sequence[Tried]) -> Table:
    """For the terminal."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for heading in HEADINGS[:-1]:
        table.add_column(heading, overflow="fold")
    table.add_column(HEADINGS[-1], justify="right", no_wrap=True)
    for tried in all_tried:
        table.add_row(*_row(tried, "\n"))
    return table


def markdown(all_tried: Sequence[Tried]) -> str:
    """For a document."""
    rows = [HEADINGS, ("---", "---", "---", "---:"), *(_row(one, ", ") for one in all_tried)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(tried: Tried, between: str) -> tuple[str, ...]:
    mutant = tried.mutant
    tests = between.join(test.rpartition("::")[2] for test in mutant.noticed_by)
    if tried.failure is None and tried.outcome is not None:
        return (mutant.name, mutant.promise, tests, f"{tried.outcome.seconds:.1f}")
    return (mutant.name, mutant.promise, tests, "NOT NOTICED")

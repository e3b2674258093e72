"""How far an audit has come: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from orchestrator.auditor.checked import Checked, OnPage
from orchestrator.cli.output import say

RUNS_OF_A_LINE = 100_000


@contextmanager
def shown_progress(about_runs: int | None) -> Iterator[OnPage]:
    """
    Shows on standard error what is passed to the function that it gives.

    Args:
        about_runs: How many there are, roughly; None when nobody knows.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(_said(Checked()), total=about_runs)
        yield lambda checked: progress.update(
            bar, completed=checked.runs, description=_said(checked)
        )


def _lines() -> OnPage:
    said = 0

    def tell(checked: Checked) -> None:
        nonlocal said
        if checked.runs // RUNS_OF_A_LINE > said:
            said = checked.runs // RUNS_OF_A_LINE
            say(f"dibs: {_said(checked)}", err=True)

    return tell


def _said(checked: Checked) -> str:
    told = f", {checked.client_entries} entries of clients" if checked.client_entries else ""
    return f"{checked.runs} runs, {checked.events} events{told}"

"""How far something has come that may take longer than a second."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

SHOWN_AFTER_SECONDS = 1.0

Advance = Callable[[int], None]


@contextmanager
def shown_progress(what: str, total: int | None) -> Iterator[Advance]:
    """
    A bar on standard error after the first second, if that is a terminal.

    What is printed meanwhile stands above the bar, also on standard output where that is
    the same terminal.

    Args:
        total: None when nobody knows.

    Returns:
        What to call with how many were done more.
    """
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda _done: None
        return
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )
    bar = progress.add_task(what, total=total)
    start = Timer(SHOWN_AFTER_SECONDS, progress.start)
    start.daemon = True
    start.start()
    try:
        yield lambda done: progress.advance(bar, done)
    finally:
        start.cancel()
        start.join()
        progress.stop()

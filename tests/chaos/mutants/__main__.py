"""The command `python -m tests.chaos.mutants`."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from orchestrator.dev.ending import interrupted_once
from tests.bench.machine import commit
from tests.bench.page import paper
from tests.chaos.mutants.mutant import MutantError, all_mutants, chosen
from tests.chaos.mutants.session import try_mutants
from tests.chaos.mutants.table import markdown, shown
from tests.chaos.mutants.trial import Tried
from tests.integration.wheel import clean_clone

INTERRUPTED = 130


@click.command()
@click.option("--only", multiple=True, metavar="NAME", help="Try this one alone; repeatable.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 32),
    default=lambda: min(2, os.cpu_count() or 1),
    show_default="2",
    help="How many are tried at a time.",
)
@click.option(
    "--markdown",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the table there, too.",
)
def main(only: tuple[str, ...], jobs: int, page: Path | None) -> None:
    """Break one promise after the other, and require that the tests notice."""
    messages = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    began = time.monotonic()
    try:
        with interrupted_once(), tempfile.TemporaryDirectory(prefix="dibs-mutants-") as folder:
            mutants = chosen(all_mutants(), only)
            tree = _clean_tree(Path(folder, "tree"))
            all_tried = try_mutants(tree, mutants, Path(folder), jobs=jobs, say=messages.print)
    except KeyboardInterrupt:
        messages.print("stopped")
        sys.exit(INTERRUPTED)
    except MutantError as error:
        messages.print(f"The mutants could not be tried: {error}")
        sys.exit(1)
    paper().print(shown(all_tried))
    if page is not None:
        page.write_text(f"{markdown(all_tried)}\n", encoding="utf-8")
    failed = [tried for tried in all_tried if tried.failure is not None]
    for tried in failed:
        messages.print(_told(tried))
    if failed:
        messages.print(f"{len(failed)} of {len(all_tried)} mutants were not noticed as they must.")
        sys.exit(1)
    messages.print(
        f"All {len(all_tried)} mutants were noticed, in {time.monotonic() - began:.0f} s"
        f" (commit {commit() or 'unknown'})."
    )


def _clean_tree(folder: Path) -> Path:
    try:
        return clean_clone(folder)
    except (AssertionError, OSError) as error:
        raise MutantError(f"git does not say what belongs to this tree: {error}") from error


def _told(tried: Tried) -> str:
    said = tried.outcome.said if tried.outcome else ""
    return f"\n{tried.mutant.name}: {tried.failure}\n{said}".rstrip()


if __name__ == "__main__":
    main()

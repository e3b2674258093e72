"""The command `python -m tests.bench.peers`."""

import tempfile
from pathlib import Path

import click
from rich.console import Console

from tests.bench.command import measuring, write_figures, write_page
from tests.bench.page import PAGE, paper
from tests.bench.peers.contest import contest
from tests.bench.peers.install import graphile_worker, pgqueuer
from tests.bench.peers.summary import SECTION, as_json, markdown, notes, table
from tests.bench.sizes import FULL, QUICK


@click.command()
@click.option("--quick", is_flag=True, help="Small samples, once: see that it works.")
@click.option(
    "--repeats", type=click.IntRange(min=1), help="Samples of each.  [default: 5, quick: 1]"
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("bench-peers.json"),
    show_default=True,
    help="Where the figures go.",
)
@click.option("--write-docs", is_flag=True, help=f"Put the table into docs/{PAGE.name} too.")
def main(quick: bool, repeats: int | None, output: Path, write_docs: bool) -> None:
    """Drain the same backlog by Dibs, by PgQueuer and by graphile-worker."""
    messages = Console(stderr=True, highlight=False, markup=False)
    with measuring(messages), tempfile.TemporaryDirectory(prefix="dibs-peers-") as folder:
        messages.print("installing PgQueuer and graphile-worker")
        peers = [
            pgqueuer(Path(folder) / "pgqueuer"),
            graphile_worker(Path(folder) / "graphile-worker"),
        ]
        standings = contest(
            QUICK if quick else FULL,
            peers,
            repeats=repeats or (1 if quick else 5),
            say=messages.print,
        )
    shown = paper()
    shown.print(table(standings).shown(), *notes(standings), sep="\n")
    write_figures(output, as_json(standings), messages)
    if write_docs:
        write_page(SECTION, markdown(standings), messages)


if __name__ == "__main__":
    main()

"""The command `python -m tests.bench.peers`."""

import sys
import tempfile
from pathlib import Path

import click
import orjson
from rich.console import Console

from orchestrator.dev.child import ChildError
from orchestrator.dev.embedded import EmbeddedPostgresError
from orchestrator.dev.ending import interrupted_once
from tests.bench.failure import BenchError
from tests.bench.page import PAGE, paper, write_section
from tests.bench.peers.contest import contest
from tests.bench.peers.install import graphile_worker, pgqueuer
from tests.bench.peers.summary import SECTION, as_json, markdown, notes, table
from tests.bench.sizes import FULL, QUICK

INTERRUPTED = 130


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
    try:
        with interrupted_once(), tempfile.TemporaryDirectory(prefix="dibs-peers-") as folder:
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
    except KeyboardInterrupt:
        messages.print("stopped; nothing was written")
        sys.exit(INTERRUPTED)
    except (BenchError, ChildError, EmbeddedPostgresError) as error:
        messages.print(f"The bench failed: {error}")
        sys.exit(1)
    shown = paper()
    shown.print(table(standings).shown(), *notes(standings), sep="\n")
    output.write_bytes(orjson.dumps(as_json(standings), option=orjson.OPT_INDENT_2))
    messages.print(f"written: {output}")
    if write_docs:
        write_section(SECTION, markdown(standings))
        messages.print(f"written: {PAGE}")


if __name__ == "__main__":
    main()

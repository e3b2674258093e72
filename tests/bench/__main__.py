"""The command `python -m tests.bench`."""

import sys
from pathlib import Path

import click
import orjson
from rich.console import Console

from orchestrator.dev.child import ChildError
from orchestrator.dev.embedded import EmbeddedPostgresError
from orchestrator.dev.ending import interrupted_once
from tests.bench.failure import BenchError
from tests.bench.page import PAGE, notes, table, write_page
from tests.bench.session import bench
from tests.bench.sizes import FULL, QUICK

INTERRUPTED = 130


@click.command()
@click.option("--quick", is_flag=True, help="Small samples, once: see that it works.")
@click.option(
    "--repeats", type=click.IntRange(min=1), help="Samples of each side.  [default: 3, quick: 1]"
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="Processes of the orchestrator.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("bench.json"),
    show_default=True,
    help="Where the figures go.",
)
@click.option("--write-docs", is_flag=True, help=f"Put the table into docs/{PAGE.name} too.")
def main(quick: bool, repeats: int | None, workers: int, output: Path, write_docs: bool) -> None:
    """Measure Dibs over HTTP beside pgbench, on one database of its own."""
    messages = Console(stderr=True, highlight=False, markup=False)
    try:
        with interrupted_once():
            results = bench(
                QUICK if quick else FULL,
                quick=quick,
                repeats=repeats or (1 if quick else 3),
                workers=workers,
                say=messages.print,
            )
    except KeyboardInterrupt:
        messages.print("stopped; nothing was written")
        sys.exit(INTERRUPTED)
    except (BenchError, ChildError, EmbeddedPostgresError) as error:
        messages.print(f"The bench failed: {error}")
        sys.exit(1)
    shown = Console(highlight=False)
    shown.print(table(results), *notes(results), sep="\n")
    output.write_bytes(orjson.dumps(results.as_json(), option=orjson.OPT_INDENT_2))
    messages.print(f"written: {output}")
    if write_docs:
        write_page(results)
        messages.print(f"written: {PAGE}")


if __name__ == "__main__":
    main()

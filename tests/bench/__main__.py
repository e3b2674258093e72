"""The command `python -m tests.bench`."""

from pathlib import Path

import click
from rich.console import Console

from tests.bench.command import measuring, write_figures, write_page
from tests.bench.page import PAGE, paper
from tests.bench.profiling import profile_drain
from tests.bench.record import as_json
from tests.bench.session import KEYS, bench
from tests.bench.sizes import FULL, QUICK
from tests.bench.summary import SECTION, markdown, notes, tables


def _keys(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    keys = tuple(value.split(",")) if value else KEYS
    if unknown := [key for key in keys if key not in KEYS]:
        raise click.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(KEYS)}")
    return keys


@click.command()
@click.option("--quick", is_flag=True, help="Small samples, once: see that it works.")
@click.option(
    "--only",
    callback=_keys,
    default="",
    metavar="FIGURE[,FIGURE]",
    help=f"Take these alone: {', '.join(KEYS)}.",
)
@click.option(
    "--repeats", type=click.IntRange(min=1), help="Samples of each side.  [default: 5, quick: 1]"
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
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
@click.option(
    "--profile",
    type=click.Choice(["drain"]),
    help="Measure nothing: show where the time goes, by py-spy; its stacks go beside the figures.",
)
@click.option("--write-docs", is_flag=True, help=f"Put the tables into docs/{PAGE.name} too.")
def main(
    quick: bool,
    only: tuple[str, ...],
    repeats: int | None,
    workers: int,
    output: Path,
    profile: str | None,
    write_docs: bool,
) -> None:
    """Measure Dibs over HTTP beside pgbench, on one database of its own."""
    messages = Console(stderr=True, highlight=False, markup=False)
    shown = paper()
    sizes = QUICK if quick else FULL
    with measuring(messages):
        if profile:
            folder = output.with_name("profile")
            profiles = profile_drain(sizes, workers=workers, folder=folder, say=messages.print)
            shown.print(*(it.table().shown() for it in profiles), sep="\n")
            return
        results = bench(
            sizes,
            only=only,
            quick=quick,
            repeats=repeats or (1 if quick else 5),
            workers=workers,
            say=messages.print,
        )
    shown.print(*(table.shown() for table in tables(results)), *notes(results), sep="\n")
    write_figures(output, as_json(results), messages)
    if write_docs:
        write_page(SECTION, markdown(results), messages)


if __name__ == "__main__":
    main()

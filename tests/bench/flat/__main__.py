"""The command `python -m tests.bench.flat`."""

from datetime import UTC, datetime

import click
import psycopg
from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.command import measuring
from tests.bench.flat.figures import PARTS, Figures
from tests.bench.flat.ground import SETTINGS, ground
from tests.bench.flat.sizes import sizes
from tests.bench.machine import commit, machine


@click.command()
@click.option(
    "--scale",
    type=click.FloatRange(0.01, 1),
    default=1.0,
    show_default=True,
    help="Of 1,000,000 pending, 100,000 scheduled and 10,000,000 runs that are over.",
)
@click.option(
    "--snapshot-minutes",
    type=click.FloatRange(0.1, 60),
    default=10.0,
    show_default=True,
    help="How long the old snapshot is held.",
)
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    default=PARTS,
    help="What to measure.  [default: all]",
)
def main(scale: float, snapshot_minutes: float, parts: tuple[str, ...]) -> None:
    """Measure whether claims stay as cheap as on a small table."""
    messages = Console(stderr=True, highlight=False, markup=False)
    shown = Console(highlight=False, markup=False)
    measured = sizes(scale, snapshot_minutes)
    with measuring(messages), ground(measured, messages.print) as on:
        found = Figures(on, measured, messages.print).all(parts)
        with psycopg.connect(on.full.owner_url) as owner:
            here = machine(owner)
    table = Table("figure", "found", "target", "", box=box.SIMPLE_HEAD, padding=(0, 1))
    for row in found:
        table.add_row(*row)
    shown.print(table, f"loaded in {on.load_seconds:,.0f} s", *on.storage, "", sep="\n")
    shown.print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit() or 'unknown'}, scale {scale:g};"
        f" {here['cpu']}, {here['cores']} cores, {here['memory']}; PostgreSQL {here['postgres']}"
        f" ({', '.join(map('='.join, SETTINGS.items()))}), Python {here['python']}"
    )


if __name__ == "__main__":
    main()

"""`dibs top`: what goes on, at a glance; over the API."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import click
import rich_click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from orchestrator.cli.client import Api, connected
from orchestrator.cli.failure import TRY_LATER, UNAVAILABLE, Failure
from orchestrator.cli.keyboard import keys
from orchestrator.cli.output import as_json, print_json, print_table, printable, say
from orchestrator.cli.top_frame import fetch, frame, sections

EVERY_SECONDS = 2.0


@click.command(cls=rich_click.RichCommand)
@click.option("--once", is_flag=True, help="Show it once, and end.")
@as_json
def top(*, once: bool, as_json: bool) -> None:
    """
    Watch queues, executors and the newest trouble, until q or Ctrl-C.

    Anew every 2 seconds; where the output is no terminal, once.

    \b
    dibs top
    dibs top --once
    """
    with connected() as api:
        found = fetch(api)
        if as_json:
            print_json(found)
        elif once or not sys.stdout.isatty():
            _print(found)
        else:
            _watch(api, found)


def _print(found: dict[str, Any]) -> None:
    for place, section in enumerate(sections(found)):
        if place:
            say()
        say(f"{section.title}: {len(section.rows)}")
        if section.rows:
            print_table(section.columns, section.rows)


def _watch(api: Api, found: dict[str, Any]) -> None:
    """Until q; what cannot be asked anew stays, with the reason above it."""
    console = Console(highlight=False)
    trouble = ""
    at = datetime.now(UTC)
    with keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            heading = Text(
                f"dibs  {at:%Y-%m-%d %H:%M:%S}Z  q ends", overflow="ellipsis", no_wrap=True
            )
            heading.append(f"  {trouble}" if trouble else "", style="red")
            height, width = console.height, console.width
            live.update(frame(sections(found), heading, width=width, height=height), refresh=True)
            if "q" in pressed(EVERY_SECONDS):
                return
            try:
                found, at, trouble = fetch(api), datetime.now(UTC), ""
            except Failure as failure:
                if failure.exit_code not in (UNAVAILABLE, TRY_LATER):
                    raise
                trouble = printable(failure.message)

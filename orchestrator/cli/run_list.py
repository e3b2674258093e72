"""`dibs runs list`: runs page by page, for people and for the next command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import rich_click

from orchestrator.cli.client import Api, connected
from orchestrator.cli.output import as_json, print_json, print_table, say, to_the_second
from orchestrator.cli.progress import shown_progress
from orchestrator.cli.run_filter import RunFilter, filter_options
from orchestrator.cli.table import STATE_STYLES, Column

A_PAGE = 500
USUAL_LIMIT = 50

COLUMNS = (
    Column("RUN", whole=True),
    Column("WORKFLOW"),
    Column("QUEUE", spare=1),
    Column("STATE", styles=STATE_STYLES),
    Column("ATTEMPT", right=True, spare=4),
    Column("HELD BY", spare=2),
    Column("CREATED", whole=True, spare=3),
)


@click.command("list", cls=rich_click.RichCommand)
@filter_options
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help=f"At most so many.  [default: {USUAL_LIMIT}, or all with --all]",
)
@click.option("--all", "all_runs", is_flag=True, help="Page after page, to the last.")
@click.option("--cursor", help="Where the page before ended.")
@as_json
def list_runs(
    *, limit: int | None, all_runs: bool, cursor: str | None, as_json: bool, **wanted: str | None
) -> None:
    """
    List runs, the newest first.

    \b
    dibs runs list --state pending,failed
    dibs runs list --queue billing --all
    dibs runs list --state failed --all --json | dibs runs retry -
    """
    asked = limit if limit is not None or all_runs else USUAL_LIMIT
    found: list[dict[str, Any]] = []
    left = cursor
    with connected() as api, shown_progress("runs", asked) as advance:
        for page in _pages(api, RunFilter(**wanted), cursor, asked):
            found += page["items"]
            left = page["nextCursor"]
            advance(len(page["items"]))
    if as_json:
        print_json({"items": found, "nextCursor": left})
        return
    print_table(
        COLUMNS,
        (
            (
                run["id"],
                run["workflow"],
                run["queue"],
                run["runState"],
                run["attempt"],
                run["lockedBy"],
                to_the_second(run["createdAt"]),
            )
            for run in found
        ),
    )
    if left:
        say(f"more: --cursor {left}", err=True)


def _pages(
    api: Api, wanted: RunFilter, cursor: str | None, limit: int | None
) -> Iterator[dict[str, Any]]:
    """Pages until there are so many runs, or no more."""
    while True:
        size = A_PAGE if limit is None else min(A_PAGE, limit)
        params = {**wanted.members(), "limit": size, "cursor": cursor}
        page: dict[str, Any] = api.request("GET", "/runs", params=params)
        yield page
        cursor = page["nextCursor"]
        if limit is not None:
            limit -= len(page["items"])
        if cursor is None or limit == 0:
            return

"""`dibs runs abort` and `retry`: on one run, on those that are named, on all of a filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
import rich_click

from orchestrator.cli.acts_by_filter import act_on_filter
from orchestrator.cli.acts_by_id import act_on_each, named_runs
from orchestrator.cli.client import request
from orchestrator.cli.output import as_json, print_object
from orchestrator.cli.run_argument import STANDARD_INPUT, RunId
from orchestrator.cli.run_filter import RunFilter, filter_options

Command = TypeVar("Command", bound=Callable[..., Any])


def _whom(command: Command) -> Command:
    """Adds how to say which runs an act is for."""
    for option in (
        as_json,
        click.option("--yes", is_flag=True, help="With a filter: do not ask."),
        click.option("--dry-run", is_flag=True, help="With a filter: only count."),
        filter_options,
        click.argument("runs", metavar="[RUN|-]...", nargs=-1, type=RunId(or_dash=True)),
    ):
        command = option(command)
    return command


@click.command(cls=rich_click.RichCommand)
@_whom
@click.option("--reason", help="Goes to the ledger.")
def abort(*, reason: str | None, **whom: Any) -> None:
    """
    Abort live runs; whoever executes one is told.

    RUN is an id; several are done one by one, - reads ids from standard input, also out of
    the JSON of `dibs runs list`. With a filter all that match are aborted, after a question.

    \b
    dibs runs abort 01980000-0000-7000-8000-000000000001 --reason "wrong order"
    dibs runs abort --queue billing --state pending,scheduled --dry-run
    dibs runs list --workflow refund --all --json | dibs runs abort -
    """
    _act("abort", {"reason": reason} if reason else {}, **whom)


@click.command(cls=rich_click.RichCommand)
@_whom
def retry(**whom: Any) -> None:
    """
    Go on with failed or aborted runs, at the step that failed.

    RUN is an id; several are done one by one, - reads ids from standard input, also out of
    the JSON of `dibs runs list`. With a filter all that match are retried, after a question.

    \b
    dibs runs retry 01980000-0000-7000-8000-000000000001
    dibs runs retry --state failed --queue billing
    dibs runs list --state failed --json | dibs runs retry -
    dibs runs list --state failed --json | jq -r '.items[].id' | dibs runs retry -
    """
    _act("retry", {}, **whom)


def _act(
    act: str,
    members: Mapping[str, Any],
    *,
    runs: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **wanted: str | None,
) -> None:
    chosen = RunFilter(**wanted)
    if bool(runs) == bool(chosen.members()):
        raise click.UsageError("Name runs, or say which by a filter as in --state failed.")
    if dry_run and runs:
        raise click.UsageError("--dry-run counts what a filter matches, and none is given.")
    if not runs:
        act_on_filter(chosen, act, members, dry_run=dry_run, yes=yes, as_json=as_json)
    elif len(runs) == 1 and runs[0] != STANDARD_INPUT:
        print_object(request("POST", f"/runs/{runs[0]}/{act}", body=members), as_json=as_json)
    else:
        act_on_each(named_runs(runs), act, members, as_json=as_json)

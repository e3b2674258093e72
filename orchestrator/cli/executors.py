"""`dibs executors`: who executes, and who is to get nothing more; over the API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

import click
import rich_click

from orchestrator.cli.client import request
from orchestrator.cli.executor_rows import EXECUTOR_COLUMNS, executor_row
from orchestrator.cli.output import as_json, print_json, print_table

Command = TypeVar("Command", bound=Callable[..., Any])


def _act_options(command: Command) -> Command:
    for option in (
        as_json,
        click.option("--reason", help="Is shown with the executor, and kept with the act."),
        click.argument("name", metavar="EXECUTOR"),
    ):
        command = option(command)
    return command


@click.group(cls=rich_click.RichGroup, invoke_without_command=True)
@click.pass_context
def executors(context: click.Context) -> None:
    """
    See who executes runs, and take executors out of service.

    Over the API at DIBS_URL, with the token in DIBS_TOKEN. Alone it lists them.

    \b
    dibs executors
    dibs executors drain fleet:executor-1
    """
    if context.invoked_subcommand is None:
        context.invoke(list_executors, as_json=False)


@executors.command("list")
@as_json
def list_executors(*, as_json: bool) -> None:
    """
    List every known session of the token's queues, the last seen first.

    \b
    dibs executors list
    """
    _print(request("GET", "/executors"), as_json=as_json)


@executors.command()
@_act_options
def drain(name: str, *, reason: str | None, as_json: bool) -> None:
    """
    Hand nothing more to an executor; what it holds it may finish.

    \b
    dibs executors drain fleet:executor-1 --reason "new machine"
    """
    _act(name, "drain", reason, as_json=as_json)


@executors.command()
@_act_options
def quarantine(name: str, *, reason: str | None, as_json: bool) -> None:
    """
    Hand nothing more to an executor that does harm, until it is resumed.

    \b
    dibs executors quarantine fleet:executor-1 --reason "its disk is full"
    """
    _act(name, "quarantine", reason, as_json=as_json)


@executors.command()
@_act_options
def resume(name: str, *, reason: str | None, as_json: bool) -> None:
    """
    Hand runs to an executor again.

    \b
    dibs executors resume fleet:executor-1
    """
    _act(name, "resume", reason, as_json=as_json)


def _act(name: str, act: str, reason: str | None, *, as_json: bool) -> None:
    body = {} if reason is None else {"reason": reason}
    path = f"/executors/{quote(name, safe='')}/{act}"
    _print(request("POST", path, body=body), as_json=as_json)


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    now = datetime.now(UTC)
    print_table(EXECUTOR_COLUMNS, (executor_row(executor, now) for executor in found["items"]))

"""`dibs schedules`: what the clock runs, over the API with `DIBS_URL` and `DIBS_TOKEN`."""

from typing import Any
from urllib.parse import quote

import click
import rich_click

from orchestrator.cli.client import request
from orchestrator.cli.json_value import JsonValue
from orchestrator.cli.output import (
    as_json,
    print_json,
    print_object,
    print_table,
    say,
    to_the_second,
)
from orchestrator.cli.table import Column

SET_BY_PUT = ("workflow", "cron", "timeZone", "input", "queue", "overlap", "paused")

name_argument = click.argument("name")


@click.group(cls=rich_click.RichGroup)
def schedules() -> None:
    """
    Run workflows by the clock.

    Over the API at DIBS_URL, with the token in DIBS_TOKEN.

    \b
    dibs schedules put nightly --workflow report --cron '30 2 * * *'
    dibs schedules list
    """


@schedules.command()
@name_argument
@click.option("--workflow", required=True, help="What to create runs of.")
@click.option("--cron", required=True, help="Five fields, as in '30 2 * * mon-fri'.")
@click.option("--time-zone", help="As in Europe/Berlin.  [default: UTC]")
@click.option(
    "--input", "input_", type=JsonValue(), metavar="JSON", help="JSON, @file, or - for stdin."
)
@click.option("--queue", help="Queue the runs belong to.  [default: default]")
@click.option(
    "--overlap",
    type=click.Choice(["skip", "queue"]),
    help="When the last run still lives: skip this one, or create it too.  [default: skip]",
)
@click.option("--paused", is_flag=True, help="Do not fire until it is resumed.")
@as_json
def put(
    name: str,
    workflow: str,
    cron: str,
    time_zone: str | None,
    input_: Any,
    queue: str | None,
    overlap: str | None,
    paused: bool,
    as_json: bool,
) -> None:
    """
    Create the schedule NAME, or replace it.

    \b
    dibs schedules put nightly --workflow report --cron '30 2 * * *' --time-zone Europe/Berlin
    """
    wanted = {
        "workflow": workflow,
        "cron": cron,
        "timeZone": time_zone,
        "input": input_,
        "queue": queue,
        "overlap": overlap,
        "paused": paused,
    }
    body = {member: value for member, value in wanted.items() if value is not None}
    print_object(request("PUT", _path(name), body=body), as_json=as_json)


@schedules.command("list")
@as_json
def list_schedules(as_json: bool) -> None:
    """
    List schedules, by name.

    \b
    dibs schedules list
    """
    found = request("GET", "/schedules")
    if as_json:
        print_json(found)
        return
    print_table(
        (
            "SCHEDULE",
            "WORKFLOW",
            "CRON",
            Column("TIME ZONE", spare=1),
            Column("NEXT", whole=True),
            Column("LAST RUN", whole=True, spare=2),
        ),
        (
            (
                one["name"],
                one["workflow"],
                one["cron"],
                one["timeZone"],
                "paused" if one["paused"] else to_the_second(one["nextAt"]),
                one["lastRunId"],
            )
            for one in found["items"]
        ),
    )


@schedules.command()
@name_argument
@as_json
def show(name: str, as_json: bool) -> None:
    """
    Show one schedule.

    \b
    dibs schedules show nightly
    """
    print_object(request("GET", _path(name)), as_json=as_json)


@schedules.command()
@name_argument
@as_json
def pause(name: str, as_json: bool) -> None:
    """
    Let a schedule fire no more until it is resumed.

    \b
    dibs schedules pause nightly
    """
    print_object(_set_paused(name, paused=True), as_json=as_json)


@schedules.command()
@name_argument
@as_json
def resume(name: str, as_json: bool) -> None:
    """
    Let a paused schedule fire again, first at its next due time.

    \b
    dibs schedules resume nightly
    """
    print_object(_set_paused(name, paused=False), as_json=as_json)


@schedules.command()
@name_argument
def delete(name: str) -> None:
    """
    Forget a schedule; the runs that it created stay.

    \b
    dibs schedules delete nightly
    """
    request("DELETE", _path(name))
    say(f"Schedule {name} is gone.")


@schedules.command("run-now")
@name_argument
@click.option("--idempotency-key", help="The same key again returns the first run.")
@as_json
def run_now(name: str, idempotency_key: str | None, as_json: bool) -> None:
    """
    Create a run of a schedule now, beside its times.

    \b
    dibs schedules run-now nightly
    """
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
    created = request("POST", f"{_path(name)}/run-now", body={}, headers=headers)
    if as_json:
        print_json(created)
    elif created["runId"] is None:
        say("No run was created: the last one still lives, and overlap is skip.")
    else:
        say(created["runId"])


def _set_paused(name: str, *, paused: bool) -> dict[str, Any]:
    schedule = request("GET", _path(name))
    if schedule["paused"] is not paused:
        body = {member: schedule[member] for member in SET_BY_PUT} | {"paused": paused}
        schedule = request("PUT", _path(name), body=body)
    shown: dict[str, Any] = schedule
    return shown


def _path(name: str) -> str:
    return f"/schedules/{quote(name, safe='')}"

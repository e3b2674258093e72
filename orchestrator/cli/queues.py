"""`dibs queues`: how deep they are, and what is claimed from them; over the API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click
import rich_click

from orchestrator.cli.client import Api, connected
from orchestrator.cli.failure import REFUSED, Failure
from orchestrator.cli.output import as_json, print_fields, print_json, print_object, print_table
from orchestrator.cli.queue_limit import NewLimit
from orchestrator.cli.queue_rows import QUEUE_COLUMNS, limits_of, queue_fields, queue_row

name_argument = click.argument("name")


@click.group(cls=rich_click.RichGroup, invoke_without_command=True)
@click.pass_context
def queues(context: click.Context) -> None:
    """
    See how deep queues are, and steer what is claimed from them.

    Over the API at DIBS_URL, with the token in DIBS_TOKEN. Alone it lists them.

    \b
    dibs queues
    dibs queues pause billing
    dibs queues limit billing --concurrency 10
    """
    if context.invoked_subcommand is None:
        context.invoke(list_queues, as_json=False)


@queues.command("list")
@as_json
def list_queues(*, as_json: bool) -> None:
    """
    List the token's queues, by name.

    \b
    dibs queues list
    """
    with connected() as api:
        found = api.request("GET", "/queues")
    if as_json:
        print_json(found)
    else:
        print_table(QUEUE_COLUMNS, (queue_row(queue) for queue in found["items"]))


@queues.command()
@name_argument
@as_json
def show(name: str, *, as_json: bool) -> None:
    """
    Show one queue.

    \b
    dibs queues show billing
    """
    with connected() as api:
        queue = _find(api, name)
    _print(queue, as_json=as_json)


@queues.command()
@name_argument
@as_json
def pause(name: str, *, as_json: bool) -> None:
    """
    Claim nothing more from a queue; what is leased goes on.

    \b
    dibs queues pause billing
    """
    with connected() as api:
        paused = api.request("POST", f"{_path(name)}/pause", body={})
    print_object(paused, as_json=as_json)


@queues.command()
@name_argument
@as_json
def resume(name: str, *, as_json: bool) -> None:
    """
    Claim from a queue again.

    \b
    dibs queues resume billing
    """
    with connected() as api:
        resumed = api.request("POST", f"{_path(name)}/resume", body={})
    print_object(resumed, as_json=as_json)


@queues.command()
@name_argument
@click.option("--concurrency", type=NewLimit(), help="Leases at once.")
@click.option("--rate", type=NewLimit(), help="Leases granted in any one second.")
@click.option("--per-key", type=NewLimit(), help="Leases at once of one concurrencyKey; none is 1.")
@as_json
def limit(
    name: str, *, concurrency: int | None, rate: int | None, per_key: int | None, as_json: bool
) -> None:
    """
    Set how much is claimed from a queue; what is leased goes on.

    A limit that is not named stays as it is; `none` takes one away.

    \b
    dibs queues limit billing --concurrency 10 --rate 100
    dibs queues limit billing --rate none
    """
    asked = {
        "maxConcurrency": concurrency,
        "ratePerSecond": rate,
        "maxConcurrencyPerKey": per_key,
    }
    named = {member: value for member, value in asked.items() if value is not None}
    if not named:
        raise click.UsageError("Name a limit: --concurrency, --rate or --per-key.")
    with connected() as api:
        now = limits_of(_find(api, name, default={}))
        new = {member: value or None for member, value in (now | named).items()}
        queue = api.request("PUT", _path(name), body=new)
    _print(queue, as_json=as_json)


def _find(api: Api, name: str, *, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """
    A queue by its name.

    Raises:
        Failure: There is none, and no default.
    """
    for queue in api.request("GET", "/queues")["items"]:
        if queue["name"] == name:
            found: dict[str, Any] = queue
            return found
    if default is None:
        raise Failure(f"There is no queue {name} among those of this token.", REFUSED)
    return default


def _print(queue: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(queue)
    else:
        print_fields(queue_fields(queue))


def _path(name: str) -> str:
    return f"/queues/{quote(name, safe='')}"

"""`dibs runs`: runs over the API, with `DIBS_URL` and `DIBS_TOKEN`."""

from typing import Any

import click
import rich_click

from orchestrator.cli.client import request
from orchestrator.cli.json_value import JsonValue
from orchestrator.cli.output import (
    as_json,
    print_fields,
    print_json,
    print_object,
    print_table,
    say,
)
from orchestrator.cli.run_acts import abort, retry
from orchestrator.cli.run_argument import run_argument
from orchestrator.cli.run_explain import explain
from orchestrator.cli.run_list import list_runs
from orchestrator.cli.run_wait import wait
from orchestrator.cli.table import STATE_STYLES, Column

JSON = JsonValue()


@click.group(cls=rich_click.RichGroup)
def runs() -> None:
    """
    Create, read and steer runs.

    Over the API at DIBS_URL, with the token in DIBS_TOKEN.

    \b
    dibs runs create refund --input '{"orderId": 7, "amount": 1250}'
    dibs runs list --state pending,failed
    """


for command in (list_runs, explain, wait, abort, retry):
    runs.add_command(command)


@runs.command()
@click.argument("workflow")
@click.option("--input", "input_", type=JSON, metavar="JSON", help="JSON, @file, or - for stdin.")
@click.option("--queue", help="Queue the run belongs to.  [default: default]")
@click.option("--priority", type=int, help="-100 to 100, higher first.")
@click.option("--available-at", metavar="TIME", help="Not before this time (RFC 3339).")
@click.option("--dedup-key", help="At most one live run of the workflow has the same key.")
@click.option("--concurrency-key", help="Runs of the queue with the same key go one by one.")
@click.option(
    "--on-conflict",
    type=click.Choice(["refuse", "return"]),
    help="When a live run has the key: refuse this one, or show that one.  [default: refuse]",
)
@click.option("--idempotency-key", help="The same key again returns the first run.")
@as_json
def create(
    workflow: str,
    input_: Any,
    queue: str | None,
    priority: int | None,
    available_at: str | None,
    dedup_key: str | None,
    concurrency_key: str | None,
    on_conflict: str | None,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """
    Request a run of WORKFLOW.

    \b
    dibs runs create refund --input '{"orderId": 7, "amount": 1250}'
    dibs runs create refund --input @order.json --dedup-key order-7 --on-conflict return
    """
    wanted = {
        "workflow": workflow,
        "input": input_,
        "queue": queue,
        "priority": priority,
        "availableAt": available_at,
        "dedupKey": dedup_key,
        "concurrencyKey": concurrency_key,
        "onConflict": on_conflict,
    }
    body = {name: value for name, value in wanted.items() if value is not None}
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
    print_object(request("POST", "/runs", body=body, headers=headers), as_json=as_json)


@runs.command()
@run_argument
@as_json
def show(run_id: str, as_json: bool) -> None:
    """
    Show a run, its steps and what happened to it.

    \b
    dibs runs show 01980000-0000-7000-8000-000000000001
    """
    run = request("GET", f"/runs/{run_id}")
    steps = request("GET", f"/runs/{run_id}/steps")["items"]
    events = request("GET", f"/runs/{run_id}/events")["items"]
    if as_json:
        print_json({"run": run, "steps": steps, "events": events})
        return
    print_fields(run.items())
    if steps:
        say()
        print_table(
            (
                Column("STEP", right=True),
                "NAME",
                Column("STATE", styles=STATE_STYLES),
                Column("FINISHED", whole=True, spare=1),
                "OUTPUT",
            ),
            (
                (s["stepIndex"], s["name"], s["state"], s["finishedAt"], s["error"] or s["output"])
                for s in steps
            ),
        )
    say()
    print_table(
        (
            Column("SEQ", right=True),
            Column("AT", whole=True),
            "EVENT",
            Column("STATE", styles=STATE_STYLES),
            Column("FENCE", whole=True, spare=3),
            Column("BY", spare=1),
            Column("DETAIL", spare=2),
        ),
        (
            (
                e["seq"],
                e["at"],
                e["kind"],
                e["toState"],
                e["fence"],
                e["executor"] or e["actor"],
                e["detail"] or None,
            )
            for e in events
        ),
    )


@runs.command()
@run_argument
@click.option(
    "--input", "input_", type=JSON, required=True, metavar="JSON", help="JSON, @file or -."
)
@as_json
def resume(run_id: str, input_: Any, as_json: bool) -> None:
    """
    Give a waiting run the input it waits for.

    \b
    dibs runs resume 01980000-0000-7000-8000-000000000001 --input '{"approved": true}'
    """
    _act(run_id, "resume", {"input": input_}, as_json)


@runs.command()
@run_argument
@click.option(
    "--as",
    "as_",
    type=click.Choice(["done", "run-again", "abort"]),
    required=True,
    help="What is to become of it.",
)
@click.option("--output", type=JSON, metavar="JSON", help="The step's output, with --as done.")
@as_json
def resolve(run_id: str, as_: str, output: Any, as_json: bool) -> None:
    """
    Say what became of a mutating step whose outcome is unknown.

    \b
    dibs runs resolve 01980000-0000-7000-8000-000000000001 --as done --output '{"paid": true}'
    dibs runs resolve 01980000-0000-7000-8000-000000000001 --as run-again
    """
    _act(run_id, "resolve", {"as": as_} | ({} if output is None else {"output": output}), as_json)


def _act(run_id: str, act: str, body: dict[str, Any], as_json: bool) -> None:
    print_object(request("POST", f"/runs/{run_id}/{act}", body=body), as_json=as_json)

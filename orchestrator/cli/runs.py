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
from orchestrator.cli.run_explain import explain
from orchestrator.cli.run_wait import run_argument, wait

JSON = JsonValue()


@click.group(cls=rich_click.RichGroup)
def runs() -> None:
    """Create, read and steer runs, over the API at DIBS_URL with the token in DIBS_TOKEN."""


runs.add_command(wait)
runs.add_command(explain)


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
    """Request a run of WORKFLOW."""
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


@runs.command("list")
@click.option("--state", help="States, with commas between.")
@click.option("--queue")
@click.option("--workflow")
@click.option("--executor")
@click.option("--created-after", metavar="TIME")
@click.option("--limit", type=int, default=50, show_default=True)
@click.option("--cursor", help="Where the page before ended.")
@as_json
def list_runs(
    state: str | None,
    queue: str | None,
    workflow: str | None,
    executor: str | None,
    created_after: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List runs, the newest first."""
    page = request(
        "GET",
        "/runs",
        params={
            "state": state,
            "queue": queue,
            "workflow": workflow,
            "executor": executor,
            "createdAfter": created_after,
            "limit": limit,
            "cursor": cursor,
        },
    )
    if as_json:
        print_json(page)
        return
    print_table(
        ("RUN", "WORKFLOW", "QUEUE", "STATE", "ATTEMPT", "HELD BY", "CREATED"),
        (
            (
                run["id"],
                run["workflow"],
                run["queue"],
                run["runState"],
                run["attempt"],
                run["lockedBy"],
                run["createdAt"],
            )
            for run in page["items"]
        ),
    )
    if page["nextCursor"]:
        say(f"more: --cursor {page['nextCursor']}", err=True)


@runs.command()
@run_argument
@as_json
def show(run_id: str, as_json: bool) -> None:
    """Show a run, its steps and what happened to it."""
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
            ("STEP", "NAME", "STATE", "FINISHED", "OUTPUT"),
            (
                (s["stepIndex"], s["name"], s["state"], s["finishedAt"], s["error"] or s["output"])
                for s in steps
            ),
        )
    say()
    print_table(
        ("SEQ", "AT", "EVENT", "STATE", "FENCE", "BY", "DETAIL"),
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
@click.option("--reason", help="Goes to the ledger.")
@as_json
def abort(run_id: str, reason: str | None, as_json: bool) -> None:
    """Abort a live run; whoever executes it is told."""
    _act(run_id, "abort", {"reason": reason} if reason else {}, as_json)


@runs.command()
@run_argument
@as_json
def retry(run_id: str, as_json: bool) -> None:
    """Go on with a failed or aborted run, at the step that failed."""
    _act(run_id, "retry", {}, as_json)


@runs.command()
@run_argument
@click.option(
    "--input", "input_", type=JSON, required=True, metavar="JSON", help="JSON, @file or -."
)
@as_json
def resume(run_id: str, input_: Any, as_json: bool) -> None:
    """Give a waiting run the input it waits for."""
    _act(run_id, "resume", {"input": input_}, as_json)


@runs.command()
@run_argument
@click.option("--as", "as_", type=click.Choice(["done", "run-again", "abort"]), required=True)
@click.option("--output", type=JSON, metavar="JSON", help="The step's output, with --as done.")
@as_json
def resolve(run_id: str, as_: str, output: Any, as_json: bool) -> None:
    """Say what became of a mutating step whose outcome is unknown."""
    _act(run_id, "resolve", {"as": as_} | ({} if output is None else {"output": output}), as_json)


def _act(run_id: str, act: str, body: dict[str, Any], as_json: bool) -> None:
    print_object(request("POST", f"/runs/{run_id}/{act}", body=body), as_json=as_json)

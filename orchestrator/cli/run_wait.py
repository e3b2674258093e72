"""`dibs runs wait`: until a run is over, for scripts."""

import time
from typing import Any

import click
import rich_click

from orchestrator.cli.client import request
from orchestrator.cli.output import as_json, print_object, printable, say
from orchestrator.cli.run_argument import run_argument

# 124 is what timeout(1) exits with.
WAIT_EXIT_CODES = {"finished": 0, "failed": 10, "aborted": 11}
WAIT_STOPPED_AT_WAITING = 12
WAIT_TIMED_OUT = 124
WAIT_SECONDS = 25


@click.command(cls=rich_click.RichCommand)
@run_argument
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Give up then.",
)
@click.option("--or-waiting", is_flag=True, help="Wait no longer than until it waits for input.")
@as_json
@click.pass_context
def wait(
    context: click.Context,
    run_id: str,
    timeout_seconds: float | None,
    or_waiting: bool,
    as_json: bool,
) -> None:
    """
    Wait until a run is over.

    Exits 0 when it finished, 10 when it failed, 11 when it was aborted, 124 when the
    time is up; with --or-waiting 12 when it waits for input or for `dibs runs resolve`.

    \b
    dibs runs wait 01980000-0000-7000-8000-000000000001 --timeout 60
    """
    exit_codes = WAIT_EXIT_CODES | ({"waiting": WAIT_STOPPED_AT_WAITING} if or_waiting else {})
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    said = False
    while True:
        left = WAIT_SECONDS if deadline is None else deadline - time.monotonic()
        wait_seconds = max(0, min(WAIT_SECONDS, int(left)))
        run = request("GET", f"/runs/{run_id}", params={"waitSeconds": wait_seconds})
        if run["runState"] in exit_codes or left <= 0:
            break
        if run["runState"] == "waiting" and not said:
            said = True
            say(f"dibs: {_how_to_go_on(run)}", err=True)
        # The answer is at once for a run that waits for input, and for the last second.
        time.sleep(min(0.5, max(left, 0)))
    print_object(run, as_json=as_json)
    context.exit(exit_codes.get(run["runState"], WAIT_TIMED_OUT))


def _how_to_go_on(run: dict[str, Any]) -> str:
    step = printable(run["stepName"])
    if (run["waitingFor"] or {}).get("reason") == "input":
        return f"step {step} waits for input: dibs runs resume {run['id']} --input …"
    return f"whether step {step} happened is not known: dibs runs resolve {run['id']} --as …"

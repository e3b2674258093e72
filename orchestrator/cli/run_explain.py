"""`dibs runs explain`: why a run does not execute now."""

import click
import rich_click

from orchestrator.cli.client import request
from orchestrator.cli.output import as_json, print_json, print_table, say
from orchestrator.cli.run_argument import run_argument


@click.command(cls=rich_click.RichCommand)
@run_argument
@as_json
def explain(run_id: str, as_json: bool) -> None:
    """
    Say why a run does not execute now.

    A sentence first; then each gate between the run and its execution, in the order in
    which they count, and which of them are shut.

    \b
    dibs runs explain 01980000-0000-7000-8000-000000000001
    dibs runs explain 01980000-0000-7000-8000-000000000001 --json | jq -r .reason
    """
    explanation = request("GET", f"/runs/{run_id}/explain")
    if as_json:
        print_json(explanation)
        return
    say(f"{explanation['runState']}: {explanation['text']}")
    say()
    print_table(
        ("GATE", "IS", "BECAUSE"),
        (
            (each["gate"], "open" if each["open"] else "shut", each["text"])
            for each in explanation["gates"]
        ),
    )

"""The `dibs` command."""

import sys
from importlib.metadata import version

import click
import rich_click

from orchestrator.cli import (
    audit,
    demo,
    dev,
    leases,
    migrate,
    runs,
    schedules,
    serve,
    token,
    workflows,
)
from orchestrator.cli.failure import INTERRUPTED, explain
from orchestrator.cli.output import say


@rich_click.rich_config(help_config={"text_paragraph_linebreaks": "\n\n"})
@click.group(
    cls=rich_click.RichGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(version("dibs"), prog_name="dibs")
def dibs() -> None:
    """
    Dibs hands each workflow run to exactly one executor.

    \b
    dibs dev                                   everything here, to try it
    dibs migrate up                            create or update the schema
    dibs token create --name web --role client
    dibs serve                                 one orchestrator
    dibs workflows apply refund.json
    dibs runs create refund --input '{"orderId": 7, "amount": 1250}'
    dibs runs list --state pending,failed
    """


for command in (
    dev.dev,
    demo.demo,
    serve.serve,
    migrate.migrate,
    token.token,
    workflows.workflows,
    runs.runs,
    schedules.schedules,
    audit.audit,
    leases.leases,
):
    dibs.add_command(command)


def main() -> None:
    """Run the command line; every failure ends as one sentence and an exit code."""
    try:
        exit_code = dibs.main(prog_name="dibs", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except Exception as error:
        failure = explain(error)
        if failure is None:
            raise
        say(f"dibs: {failure.message}", err=True)
        sys.exit(failure.exit_code)
    sys.exit(exit_code or 0)

"""The `dibs` command."""

import sys

import click
import rich_click

from orchestrator.cli.failure import EXIT_CODES, INTERRUPTED, failure_of
from orchestrator.cli.later import Later, LazyGroup
from orchestrator.cli.output import prepare_streams, say

# One line each: what is one paragraph here is one line there.
_EXIT_CODES = "\n\n".join(f"{code}  {meaning}" for code, meaning in EXIT_CODES.items())


@rich_click.rich_config(help_config={"text_paragraph_linebreaks": "\n\n"})
@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Exit codes\n\n{_EXIT_CODES}",
)
@click.version_option(package_name="dibs", prog_name="dibs")
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


for name, summary in (
    ("audit", "See who did what, and check that the ledger proves what Dibs promises."),
    ("completion", "Print the script that completes `dibs` in a shell."),
    ("demo", "See for yourself what Dibs promises."),
    ("dev", "Run a database, an orchestrator and demo executors on this machine, until Ctrl-C."),
    ("executors", "See who executes runs, and take executors out of service."),
    ("leases", "End leases."),
    ("migrate", "Bring the schema up or down, and say where it stands."),
    ("queues", "See how deep queues are, and steer what is claimed from them."),
    ("runs", "Create, read and steer runs."),
    ("schedules", "Run workflows by the clock."),
    ("serve", "Serve until SIGTERM; needs DATABASE_URL and DIBS_SECRET_KEY."),
    ("top", "Watch queues, executors and the newest trouble, until q or Ctrl-C."),
    ("token", "Make, list and revoke access tokens."),
    ("workflows", "Define workflows and look at them."),
):
    dibs.add_command(Later(name, f"orchestrator.cli.{name}:{name}", summary))


def main() -> None:
    """Run the command line; every failure ends as one sentence and an exit code."""
    prepare_streams()
    try:
        exit_code = dibs.main(prog_name="dibs", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        say(f"dibs: {failure.message}", err=True)
        sys.exit(failure.exit_code)
    sys.exit(exit_code or 0)

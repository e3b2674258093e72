"""`dibs audit`: who did what, and whether the ledger holds."""

import click

from orchestrator.cli.audit_acts import acts
from orchestrator.cli.later import Later, LazyGroup


@click.group(cls=LazyGroup)
def audit() -> None:
    """
    See who did what, and check that the ledger proves what Dibs promises.

    \b
    dibs audit acts --limit 10
    dibs audit verify
    """


audit.add_command(acts)
audit.add_command(
    Later(
        "verify",
        "orchestrator.cli.audit_verify:verify",
        "Hold every run's ledger to the rules, on a database that may be in use.",
    )
)

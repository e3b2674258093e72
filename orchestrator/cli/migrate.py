"""`dibs migrate`: the schema."""

import click
import rich_click

from orchestrator import schema
from orchestrator.cli.database import database_from_environment
from orchestrator.cli.failure import MISCONFIGURED, NOT_ALLOWED, REFUSED, Failure
from orchestrator.cli.output import say


@click.group(cls=rich_click.RichGroup)
def migrate() -> None:
    """
    Bring the schema up or down, and say where it stands.

    Works on DATABASE_URL, as the schema's owner.

    \b
    dibs migrate up
    dibs migrate grants --role dibs_service
    """


@migrate.command()
def up() -> None:
    """
    Bring the schema to the newest version; safe while the service runs, and twice at once.

    \b
    dibs migrate up
    """
    schema.upgrade(database_from_environment(), report=say)
    say("the schema is up to date")


@migrate.command()
@click.option("--to", "revision", required=True, help="A revision, -1 for one step, base for all.")
@click.confirmation_option("--yes", prompt="This may destroy data. Go on?")
def down(revision: str) -> None:
    """
    Take the schema down; `base` takes everything away, with all runs.

    \b
    dibs migrate down --to -1 --yes
    """
    schema.downgrade(database_from_environment(), revision, report=say)


@migrate.command()
def status() -> None:
    """
    Say where the schema stands; exit 1 when it is not at the newest version.

    \b
    dibs migrate status
    """
    stands = schema.status(database_from_environment())
    say(f"database: {stands.current or 'empty'}\nnewest:   {stands.head}")
    if not stands.at_head:
        raise Failure("The schema is not up to date: run `dibs migrate up`.", REFUSED)


@migrate.command()
@click.option("--role", required=True, help="The login that `dibs serve` uses.")
def grants(role: str) -> None:
    """
    Give the service's login what serving needs, and no more; exit 77 when it has more.

    \b
    dibs migrate grants --role dibs_service
    """
    try:
        refused = schema.grant(database_from_environment(), role)
    except schema.RoleMissing as error:
        raise Failure(str(error), MISCONFIGURED) from error
    for sentence in refused:
        say(sentence, err=True)
    say(f"{role} may serve")
    if refused:
        raise Failure(
            f"{role} may serve, and not everything could be set as it should.", NOT_ALLOWED
        )

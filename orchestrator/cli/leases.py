"""`dibs leases`: what is left of the leases after a restore; works on DATABASE_URL."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import click
import rich_click
from sqlalchemy import Engine

from orchestrator.cli.command_line_act import command_line_act
from orchestrator.cli.database import database_from_environment
from orchestrator.cli.output import say
from orchestrator.lifecycle import ActKind, RunState
from orchestrator.store import endings, operator_acts
from orchestrator.store import leases as lease_store
from orchestrator.store.engine import open_engine

BATCH = 500

# What a run becomes when its lease is revoked, in words for people.
_BECAME = {
    RunState.PENDING: "pending again",
    RunState.WAITING: "waiting, outcome unknown: a mutating step had begun (dibs runs resolve)",
    RunState.ABORTED: "aborted, as had been asked",
}


@click.group(cls=rich_click.RichGroup)
def leases() -> None:
    """
    End leases.

    Works on DATABASE_URL, as the schema's owner.

    \b
    dibs leases revoke --all
    """


@leases.command()
@click.option("--all", "all_leases", is_flag=True, help="Every lease of the database.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def revoke(*, all_leases: bool, yes: bool) -> None:
    """
    End every lease at once, after a restore from a backup.

    No executor that holds a lease from before can report or renew under it any
    more; its run is claimed again, under a higher fence. Costs no run its budget.
    Harmless when repeated, and when it was interrupted: run it again.

    \b
    dibs leases revoke --all          the runbook: docs/restoring.md
    """
    if not all_leases:
        raise click.UsageError(
            "Say --all: this ends every lease of the database, for after a restore from a backup."
        )
    with _database() as engine:
        with engine.begin() as connection:
            live = lease_store.count_live(connection)
        if live and not yes:
            click.confirm(f"Leases that live: {live}. End them all?", abort=True, err=True)
        became = _revoke_all(engine, live)
    say(f"leases ended: {became.total()}")
    for run_state, runs in became.most_common():
        say(f"  {runs} {_BECAME[RunState(run_state)]}")


def _revoke_all(engine: Engine, live: int) -> Counter[str]:
    """One pass over the leases, in batches; what their runs became."""
    became: Counter[str] = Counter()
    after = None
    # One line however many batches: whichever ends a lease first writes it.
    line = command_line_act(ActKind.REVOKE_LEASES, "all")
    while True:
        with engine.begin() as connection:
            ended = endings.revoke(connection, after=after, limit=BATCH)
            if ended:
                operator_acts.note(connection, line)
        became.update(lease.run_state for lease in ended)
        if len(ended) < BATCH:
            return became
        after = ended[-1].run_id
        say(f"{became.total()} of {live}", err=True)


@contextmanager
def _database() -> Iterator[Engine]:
    engine = open_engine(database_from_environment(), connections=1, name="dibs-leases")
    try:
        yield engine
    finally:
        engine.dispose()

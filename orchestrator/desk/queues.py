"""Queues: those in use, and what an operator says of one."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from orchestrator.desk.arrivals import EVERYBODY
from orchestrator.desk.census import Census, QueueCensus
from orchestrator.store import limits, operator_acts
from orchestrator.store import queues as store
from orchestrator.store.engine import Database
from orchestrator.store.limits import NewLimits
from orchestrator.store.operator_acts import OperatorAct
from orchestrator.store.transaction import transact


def queues_in_use(database: Database, census: Census) -> list[QueueCensus]:
    """The queues that were set, are served, or have live runs, by name, as they are set now."""
    settings = {each.name: each for each in transact(database.work, store.settings)}
    names = settings.keys() | {name for name, each in census.queues.items() if each.is_in_use}
    return [
        replace(census.queues.get(name, QueueCensus(name)), settings=settings.get(name))
        for name in sorted(names)
    ]


def put_limits(database: Database, new: NewLimits, *, line: OperatorAct) -> None:
    """
    Set how much is claimed from a queue. What is leased goes on. Repeatable.

    Args:
        line: Who says so.
    """

    def write(connection: Connection) -> None:
        limits.put(connection, new)
        operator_acts.note(connection, line)

    transact(database.work, write)
    # It may allow more now: all that wait for it look.
    database.arrived({new.queue: EVERYBODY})


def set_paused(
    database: Database, queue: str, *, paused: bool, actor: str, line: OperatorAct
) -> None:
    """
    Claim nothing more from a queue, or claim from it again. What is leased goes on. Repeatable.

    Args:
        line: Who says so.
    """

    def write(connection: Connection) -> None:
        store.set_paused(connection, queue, paused=paused, actor=actor)
        operator_acts.note(connection, line)

    transact(database.work, write)
    if not paused:
        # How many runs wait in it is not known: all that wait for them look.
        database.arrived({queue: EVERYBODY})

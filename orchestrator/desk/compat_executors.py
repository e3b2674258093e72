"""The adapter's executors arrive: one starts, one polls, one asks for a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Connection

from orchestrator.desk.arrivals import arrivals
from orchestrator.lifecycle import covers
from orchestrator.store import compat_executors, compat_leases, executors
from orchestrator.store.activity import Counted
from orchestrator.store.census import pending_queues, walk_indexes
from orchestrator.store.engine import Database
from orchestrator.store.executors import Registration
from orchestrator.store.tally import Happened, moved
from orchestrator.store.transaction import transact
from orchestrator.store.verdict import EndedLease

# How the registry tells them from others.
_LABELS: Final = '{"adapter": true}'
# A claim asks as many queues, one after the other.
MOST_QUEUES: Final = 100


class Arrival(Enum):
    """What an executor says by what it asks."""

    STARTED = auto()
    POLLS = auto()
    ASKS_FOR_A_RUN = auto()


@dataclass(frozen=True, slots=True)
class Asker:
    """
    An executor of the adapter. Its token's name is its full name.

    Attributes:
        queues: What its token is for.
        address: Where it asks from.
    """

    name: str
    key_id: str
    queues: tuple[str, ...]
    address: str
    request_id: str

    @property
    def named_queues(self) -> tuple[str, ...]:
        """The queues that its token names one by one."""
        return tuple(queue for queue in self.queues if "*" not in queue)


@dataclass(frozen=True, slots=True)
class _Arrived:
    session: UUID | None
    queues: tuple[str, ...] = ()
    happened: Happened | None = None
    claimable: Mapping[str, int] | None = None


def arrive(
    database: Database, asker: Asker, arrival: Arrival, *, version: str | None = None
) -> tuple[UUID, tuple[str, ...]] | None:
    """
    Let an executor in: register it, and end what it has dropped.

    Args:
        version: What it says of its own, when it starts.

    Returns:
        The session under which it claims, and, when it polls, from which queues; None when
        its secret is in use at another address.
    """
    proposed = uuid4()
    arrived = transact(
        database.work,
        lambda connection: _arrive(connection, database, asker, arrival, proposed, version),
    )
    if arrived.session is None:
        return None
    if arrived.happened:
        database.tally.add(arrived.happened)
    if arrived.claimable:
        database.arrived(arrived.claimable)
    return arrived.session, arrived.queues


def _arrive(
    connection: Connection,
    database: Database,
    asker: Asker,
    arrival: Arrival,
    proposed: UUID,
    version: str | None,
) -> _Arrived:
    sighted = compat_executors.sight(
        connection,
        asker.name,
        address=asker.address,
        session=proposed,
        starts=arrival is Arrival.STARTED,
    )
    if sighted is None:
        return _Arrived(None)
    if sighted.queues is None:
        executors.register(connection, _registration(asker, sighted.session, version))
    ended: list[EndedLease] = []
    told = {"executor": asker.name, "address": asker.address}
    if arrival is Arrival.STARTED:
        ended = compat_leases.end_replaced(connection, **told, request_id=asker.request_id)
        compat_leases.expect_a_sign(connection, **told)
    elif arrival is Arrival.POLLS:
        ended = compat_leases.end_dropped(
            connection, **told, session=sighted.session, request_id=asker.request_id
        )
    queues: tuple[str, ...] = ()
    if arrival is Arrival.POLLS:
        queues = _queues_to_poll(connection, asker)
        if new := set(queues) - set(sighted.queues or asker.named_queues):
            compat_executors.serve(connection, asker.name, sighted.session, sorted(new))
    crashed = arrival is Arrival.STARTED
    return _Arrived(
        sighted.session,
        queues,
        moved(ended, Counted.EXPIRED if crashed else Counted.RELEASED),
        arrivals(connection, ended) + database.limits.freed(ended),
    )


def _queues_to_poll(connection: Connection, asker: Asker) -> tuple[str, ...]:
    """Those that its token names, else those that it covers and in which runs are pending."""
    named = asker.named_queues
    if len(named) == len(asker.queues):
        return named[:MOST_QUEUES]
    walk_indexes(connection)
    found = [
        queue
        for queue in pending_queues(connection)
        if queue not in named and covers(asker.queues, queue)
    ]
    return (*named, *found)[:MOST_QUEUES]


def _registration(asker: Asker, session: UUID, version: str | None) -> Registration:
    return Registration(
        full_name=asker.name,
        session=session,
        token_name=asker.name,
        version=version,
        slots=None,
        queues=asker.named_queues,
        step_types=(),
        labels=_LABELS,
        url=None,
    )

"""Renewals, releases and step starts: what a holder says of what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.errors import LeaseLost
from orchestrator.store import leases
from orchestrator.store.engine import Database
from orchestrator.store.leases import HeldLease, Reconciliation, Renewal
from orchestrator.store.transaction import transact
from orchestrator.store.verdict import EndedLease


@dataclass(frozen=True, slots=True)
class RenewAnswer:
    """
    What became of each named lease.

    Attributes:
        lost: Lease ids that are not the caller's now.
        released: Runs of lost claim replies, freed for anyone.
        orphans_kept: There are more of them, not to be freed yet: an amnesty holds,
            or the keeper has not ticked lately.
        server_time: The database's clock; the executor sends it back as `asOf`.
    """

    renewed: Sequence[Renewal]
    lost: Sequence[UUID]
    released: Sequence[UUID]
    orphans_kept: bool
    server_time: datetime


def renew(
    database: Database, held: Sequence[HeldLease], reconciliation: Reconciliation | None
) -> RenewAnswer:
    """
    Renew what is named, and free the orphans of lost claim replies.

    Args:
        reconciliation: What the session says it waits for; None frees nothing.
    """
    return transact(
        database.leases, lambda connection: _renew(connection, _once_each(held), reconciliation)
    )


def _renew(
    connection: Connection, held: Sequence[HeldLease], reconciliation: Reconciliation | None
) -> RenewAnswer:
    renewed = leases.renew(connection, held) if held else []
    released: list[EndedLease] = []
    orphans_kept = False
    if reconciliation is not None:
        named = [lease.lease_id for lease in held]
        released = leases.release_orphans(connection, reconciliation, named=named)
        orphans_kept = leases.orphans_are_kept(connection, reconciliation, named=named)
    kept = {renewal.lease_id for renewal in renewed}
    return RenewAnswer(
        renewed=renewed,
        lost=[lease.lease_id for lease in held if lease.lease_id not in kept],
        released=[lease.run_id for lease in released],
        orphans_kept=orphans_kept,
        server_time=leases.server_time(connection),
    )


@dataclass(frozen=True, slots=True)
class ReleaseAnswer:
    """The runs that were given back, and the leases that were not the caller's."""

    released: Sequence[UUID]
    lost: Sequence[UUID]


def release(database: Database, held: Sequence[HeldLease], *, reason: str) -> ReleaseAnswer:
    """Give leases back unfinished; one that is gone is lost, and that is no error."""
    named = _once_each(held)

    def work(connection: Connection) -> dict[UUID, UUID]:
        ended = leases.release(connection, named, reason=reason)
        return {lease.lease_id: lease.run_id for lease in ended}

    def look_up(connection: Connection) -> dict[UUID, UUID]:
        return work(connection) | leases.released_lately(connection, named)

    given_back = transact(database.leases, work, look_up=look_up)
    return ReleaseAnswer(
        released=list(given_back.values()),
        lost=[lease.lease_id for lease in named if lease.lease_id not in given_back],
    )


def start_step(database: Database, held: HeldLease, *, step_index: int) -> None:
    """
    Write ahead that a mutating step begins.

    Raises:
        LeaseLost: The lease is not the caller's now, or the run is at another step.
    """
    started = transact(
        database.leases,
        lambda connection: leases.start_step(connection, [held], step_indexes=[step_index]),
    )
    if held.lease_id not in started:
        raise LeaseLost(held.run_id)


def _once_each(held: Sequence[HeldLease]) -> list[HeldLease]:
    """Each lease once; of two entries the last one counts."""
    return list({lease.lease_id: lease for lease in held}.values())

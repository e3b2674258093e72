"""Renewals, releases and step starts: what a holder says of what it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.desk.arrivals import arrivals
from orchestrator.desk.gathering import ALONE, Alone, Gathering
from orchestrator.errors import LeaseLost
from orchestrator.metrics.catalogue import Desk
from orchestrator.store import endings, leases, orphans
from orchestrator.store.activity import Counted
from orchestrator.store.engine import Database
from orchestrator.store.known_limits import KnownLimits
from orchestrator.store.leases import HeldLease, Renewal
from orchestrator.store.orphans import Reconciliation
from orchestrator.store.tally import Happened, moved
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


@dataclass(frozen=True, slots=True)
class ReleaseAnswer:
    """The runs that were given back, and the leases that were not the caller's."""

    released: Sequence[UUID]
    lost: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """
    One renewal.

    Attributes:
        held: Each lease once.
        reconciliation: What the session says it waits for; None frees nothing.
    """

    held: Sequence[HeldLease]
    reconciliation: Reconciliation | None


Named = tuple[str, UUID]
"""A lease, and the token's name that names it: it may be somebody else's."""


@dataclass(frozen=True, slots=True)
class Release:
    """Leases to be given back, each once, and why."""

    held: Sequence[HeldLease]
    reason: str


class LeaseDesk:
    """
    One process's desk for renewals and releases; each kind is gathered by itself.

    What would have to wait for a locked row, or frees an orphan, is done by its own
    request, in a transaction of its own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._renewals: Gathering[Heartbeat, RenewAnswer] = Gathering(
            self._renew_together,
            self._renew,
            weight=lambda wish: len(wish.held),
            note=database.metrics.gathered[Desk.RENEWALS].note,
        )
        self._releases: Gathering[Release, dict[Named, UUID]] = Gathering(
            self._release_together,
            self._release,
            weight=lambda wish: len(wish.held),
            note=database.metrics.gathered[Desk.RELEASES].note,
        )

    def renew(
        self, held: Sequence[HeldLease], reconciliation: Reconciliation | None
    ) -> RenewAnswer:
        """
        Renew what is named, and free the orphans of lost claim replies.

        Args:
            reconciliation: What the session says it waits for; None frees nothing.
        """
        named = _once_each(held)
        answer = self._renewals.ask(Heartbeat(named, reconciliation))
        metrics = self._database.metrics
        metrics.renewals[("renewed",)].add(len(answer.renewed))
        metrics.renewals[("lost",)].add(len(answer.lost))
        metrics.orphans.add(len(answer.released))
        if answer.lost:
            lost = frozenset(answer.lost)
            for lease in named:
                if lease.lease_id in lost:
                    self._refuse(lease)
        return answer

    def release(self, held: Sequence[HeldLease], *, reason: str) -> ReleaseAnswer:
        """Give leases back unfinished; one that is gone is lost, and that is no error."""
        named = _once_each(held)
        given_back = self._releases.ask(Release(named, reason))
        left = [lease for lease in named if _named(lease) not in given_back]
        if left:
            given_back |= self._release(Release(left, reason))
        lost = [lease.lease_id for lease in named if _named(lease) not in given_back]
        self._database.metrics.releases[("released",)].add(len(given_back))
        self._database.metrics.releases[("lost",)].add(len(lost))
        return ReleaseAnswer(released=list(given_back.values()), lost=lost)

    def start_step(self, held: HeldLease, *, step_index: int) -> None:
        """
        Write ahead that a mutating step begins.

        Raises:
            LeaseLost: The lease is not the caller's now, or the run is at another step.
        """
        started = transact(
            self._database.leases,
            lambda connection: leases.start_step(connection, [held], step_indexes=[step_index]),
        )
        if held.lease_id not in started:
            self._refuse(held)
            raise LeaseLost(held.run_id)

    def _refuse(self, held: HeldLease) -> None:
        self._database.tally.refuse(
            held.run_id, LeaseLost.code, executor=held.token_name, lease_id=held.lease_id
        )

    def _renew(self, wish: Heartbeat) -> RenewAnswer:
        answer, orphaned, arrived = transact(
            self._database.leases,
            lambda connection: _renew(
                connection, wish.held, wish.reconciliation, self._database.limits
            ),
        )
        self._database.tally.add(moved(orphaned, Counted.RELEASED))
        self._database.arrived(arrived)
        return answer

    def _renew_together(
        self, wishes: Sequence[Heartbeat], committing: Callable[[], None]
    ) -> Sequence[RenewAnswer | Alone]:
        return transact(
            self._database.leases,
            lambda connection: _renew_together(connection, wishes),
            committing=committing,
        )

    def _release(self, wish: Release) -> dict[Named, UUID]:
        return self._release_all([wish], skip_locked=False)

    def _release_together(
        self, wishes: Sequence[Release], committing: Callable[[], None]
    ) -> Sequence[dict[Named, UUID]]:
        given_back = self._release_all(wishes, skip_locked=True, committing=committing)
        return [
            {
                _named(lease): given_back[_named(lease)]
                for lease in wish.held
                if _named(lease) in given_back
            }
            for wish in wishes
        ]

    def _release_all(
        self,
        wishes: Sequence[Release],
        *,
        skip_locked: bool,
        committing: Callable[[], None] = lambda: None,
    ) -> dict[Named, UUID]:
        """The leases that were given back, each with its run."""
        by_reason: dict[str, dict[Named, HeldLease]] = {}
        for wish in wishes:
            for lease in wish.held:
                by_reason.setdefault(wish.reason, {}).setdefault(_named(lease), lease)

        def work(
            connection: Connection, *, skip_locked: bool = skip_locked
        ) -> tuple[dict[Named, UUID], Happened, Mapping[str, int]]:
            ended: list[EndedLease] = []
            for reason, held in sorted(by_reason.items()):
                ended += endings.release(
                    connection, list(held.values()), reason=reason, skip_locked=skip_locked
                )
            given_back = {(lease.token_name, lease.lease_id): lease.run_id for lease in ended}
            arrived = arrivals(connection, ended, briefly=skip_locked)
            happened = moved(ended, Counted.RELEASED)
            return given_back, happened, arrived + self._database.limits.freed(ended)

        def look_up(
            connection: Connection,
        ) -> tuple[dict[Named, UUID], Happened, Mapping[str, int]]:
            named = [lease for held in by_reason.values() for lease in held.values()]
            # What was sent and not answered is waited for.
            done, happened, arrived = work(connection, skip_locked=False)
            return done | endings.released_lately(connection, named), happened, arrived

        given_back, happened, arrived = transact(
            self._database.leases, work, look_up=look_up, committing=committing
        )
        self._database.tally.add(happened)
        self._database.arrived(arrived)
        return given_back


def _renew(
    connection: Connection,
    held: Sequence[HeldLease],
    reconciliation: Reconciliation | None,
    limits: KnownLimits,
) -> tuple[RenewAnswer, Sequence[EndedLease], Mapping[str, int]]:
    renewed = leases.renew(connection, held) if held else []
    released: list[EndedLease] = []
    orphans_kept = False
    if reconciliation is not None:
        named = [lease.lease_id for lease in held]
        released = orphans.release_orphans(connection, reconciliation, named=named)
        orphans_kept = bool(orphans.with_orphans(connection, [(reconciliation, named)]))
    kept = {renewal.lease_id for renewal in renewed}
    answer = RenewAnswer(
        renewed=renewed,
        lost=[lease.lease_id for lease in held if lease.lease_id not in kept],
        released=[lease.run_id for lease in released],
        orphans_kept=orphans_kept,
        server_time=leases.server_time(connection),
    )
    return answer, released, arrivals(connection, released) + limits.freed(released)


def _renew_together(
    connection: Connection, wishes: Sequence[Heartbeat]
) -> list[RenewAnswer | Alone]:
    once: dict[UUID, HeldLease] = {}
    for wish in wishes:
        for lease in wish.held:
            once.setdefault(lease.lease_id, lease)
    done = leases.renew(connection, list(once.values()), skip_locked=True) if once else []
    renewed = {renewal.lease_id: renewal for renewal in done}
    orphaned = _with_orphans(connection, wishes)
    server_time = leases.server_time(connection)

    def answer(place: int, wish: Heartbeat) -> RenewAnswer | Alone:
        # Lost, or locked; or named by two requests, which may not say the same of it.
        is_done = all(
            lease.lease_id in renewed and once[lease.lease_id] is lease for lease in wish.held
        )
        if place in orphaned or not is_done:
            return ALONE
        return RenewAnswer(
            renewed=[renewed[lease.lease_id] for lease in wish.held],
            lost=[],
            released=[],
            orphans_kept=False,
            server_time=server_time,
        )

    return [answer(place, wish) for place, wish in enumerate(wishes)]


def _with_orphans(connection: Connection, wishes: Sequence[Heartbeat]) -> set[int]:
    """The places of those wishes whose sessions have orphans."""
    said = {
        place: (wish.reconciliation, [lease.lease_id for lease in wish.held])
        for place, wish in enumerate(wishes)
        if wish.reconciliation is not None
    }
    if not said:
        return set()
    places = list(said)
    return {places[found] for found in orphans.with_orphans(connection, list(said.values()))}


def _named(lease: HeldLease) -> Named:
    return (lease.token_name, lease.lease_id)


def _once_each(held: Sequence[HeldLease]) -> list[HeldLease]:
    """Each lease once; of two entries the last one counts."""
    return list({lease.lease_id: lease for lease in held}.values())

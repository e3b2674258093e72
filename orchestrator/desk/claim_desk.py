"""The claim desk: takes wishes for runs, and answers each with what it got.

A wish goes straight through. One that found nothing and may wait is parked: it
asks again every quarter of a second, first with a look that locks nothing.
Parked wishes are bounded, and all of them are answered when the process drains.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.desk.signs_of_life import SignsOfLife
from orchestrator.errors import RequestIdReused
from orchestrator.store import claim_requests, claims, executors, incidents
from orchestrator.store.claim_requests import ClaimRequest
from orchestrator.store.engine import Database
from orchestrator.store.executors import OutOfService
from orchestrator.store.patience import new_patience
from orchestrator.store.records import Dispatch
from orchestrator.store.transaction import transact

ASK_AGAIN_SECONDS = 0.25
# What an executor waits after an empty answer that did not wait here.
EMPTY_POLL_MS = 1_000
# And one that is out of service, until somebody has put it back.
OUT_OF_SERVICE_POLL_MS = 5_000


@dataclass(frozen=True, slots=True)
class Wish:
    """
    What one claim asks for.

    Attributes:
        executor: The full name that the lease is granted to.
        body_hash: Tells a repeat of the request from another one.
        queues: Asked in this order, beginning at another one each time.
    """

    token_name: str
    executor: str
    session: UUID
    request_id: UUID
    body_hash: bytes
    queues: tuple[str, ...]
    limit: int
    lease_seconds: int
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """
    What a wish got.

    Attributes:
        next_poll_after_ms: How long to wait before the next.
        out_of_service: Why whoever asked gets nothing, whatever there is.
    """

    dispatches: Sequence[Dispatch]
    next_poll_after_ms: int
    replayed: bool
    out_of_service: OutOfService | None = None

    @property
    def is_final(self) -> bool:
        """Whether waiting longer would change nothing."""
        return bool(self.dispatches or self.replayed or self.out_of_service)


class _PresumedDead(Exception):
    """Whoever parked this wish has lost a lease since: the runs are for the living."""


class ClaimDesk:
    """One process's desk for claims by poll."""

    def __init__(
        self,
        database: Database,
        signs: SignsOfLife,
        *,
        parked_limit: int,
        draining: threading.Event,
    ):
        """
        Args:
            parked_limit: How many wishes may wait at once; the next is answered empty.
            draining: Set when the process is to end: nothing waits any more.
        """
        self._database = database
        self._signs = signs
        self._parked = threading.BoundedSemaphore(parked_limit) if parked_limit else None
        self._draining = draining
        self._turns = itertools.count()

    def claim(self, wish: Wish) -> ClaimAnswer:
        """
        Lease runs to whoever wishes, or wait for some to come; whoever is drained or in
        quarantine is told so at once.

        The same request again gets the same runs under the same leases, as far
        as they still live, and never more.

        Raises:
            RequestIdReused: The request id belongs to another body.
        """
        self._signs.note(wish.executor, wish.session)
        answer = self._ask(wish)
        if answer.is_final or wish.wait_seconds <= 0:
            return answer
        if self._draining.is_set() or self._parked is None or not self._parked.acquire(False):
            return answer
        try:
            return self._wait(wish)
        finally:
            self._parked.release()

    def _wait(self, wish: Wish) -> ClaimAnswer:
        began = time.monotonic()
        deadline = began + wish.wait_seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._draining.wait(min(left, ASK_AGAIN_SECONDS)):
                break
            # Each look has its own: what passes between looks is not the database's time.
            with new_patience():
                try:
                    answer = self._look(wish, parked_at=began)
                except _PresumedDead:
                    return ClaimAnswer((), EMPTY_POLL_MS, replayed=False)
            if answer.is_final:
                return answer
        return ClaimAnswer((), 0, replayed=False)

    def _look(self, wish: Wish, *, parked_at: float) -> ClaimAnswer:
        """
        Ask again, when that may find something.

        Something: a pending run, or the answer to a copy of this very request. A
        connection that was lost leaves a parked copy behind that nobody reads;
        what it gets is what the repeat beside it is answered.
        """
        if transact(
            self._database.work,
            lambda connection: (
                claims.something_pending(connection, wish.queues)
                or claim_requests.granted(connection, wish.token_name, wish.request_id) is not None
            ),
        ):
            return self._ask(wish, parked_at=parked_at)
        return ClaimAnswer((), EMPTY_POLL_MS, replayed=False)

    def _ask(self, wish: Wish, *, parked_at: float | None = None) -> ClaimAnswer:
        turn = next(self._turns) % len(wish.queues)
        queues = wish.queues[turn:] + wish.queues[:turn]
        return transact(
            self._database.work, lambda connection: _claim(connection, wish, queues, parked_at)
        )


def replay(
    connection: Connection, wish: ClaimRequest, *, lease_seconds: int
) -> list[Dispatch] | None:
    """
    What a request got when it was first asked, as far as it still lives.

    Returns:
        None when it is new. It is registered then, in this transaction.

    Raises:
        RequestIdReused: The request id belongs to another body.
    """
    if claim_requests.register(connection, [wish]):
        return None
    granted = claim_requests.granted(connection, wish.token_name, wish.request_id)
    if granted is None or granted.body_hash != wish.body_hash:
        raise RequestIdReused(f"requestId {wish.request_id} was used with another body.")
    return claims.still_held(
        connection,
        token_name=wish.token_name,
        run_ids=granted.run_ids,
        lease_ids=granted.lease_ids,
        lease_seconds=lease_seconds,
    )


def _claim(
    connection: Connection, wish: Wish, queues: tuple[str, ...], parked_at: float | None
) -> ClaimAnswer:
    request = ClaimRequest(wish.token_name, wish.request_id, wish.session, wish.body_hash)
    replayed = replay(connection, request, lease_seconds=wish.lease_seconds)
    if replayed is not None:
        return ClaimAnswer(replayed, 0, replayed=True)
    dispatches: list[Dispatch] = []
    answer_bytes = claims.ANSWER_BYTES
    for queue in queues:
        wanted = wish.limit - len(dispatches)
        if not wanted or answer_bytes <= 0:
            break
        dealt = claims.claim(
            connection,
            queue,
            [
                claims.ClaimWish(
                    request_id=wish.request_id,
                    token_name=wish.token_name,
                    executor=wish.executor,
                    session=wish.session,
                    lease_seconds=wish.lease_seconds,
                    limit=wanted,
                    answer_bytes=answer_bytes,
                )
            ],
        )
        dispatches += [each.dispatch for each in dealt]
        answer_bytes -= sum(each.bytes for each in dealt)
    if parked_at is not None and incidents.lost_while_waiting(
        connection, wish.executor, wish.session, waited_seconds=time.monotonic() - parked_at
    ):
        raise _PresumedDead
    if not dispatches:
        # Nothing to keep: the request's row goes with the transaction.
        connection.rollback()
        out_of_service = executors.out_of_service(connection, wish.executor, wish.session)
        pause_ms = OUT_OF_SERVICE_POLL_MS if out_of_service else EMPTY_POLL_MS
        return ClaimAnswer((), pause_ms, replayed=False, out_of_service=out_of_service)
    claim_requests.settle(
        connection,
        wish.token_name,
        wish.request_id,
        run_ids=[dispatch.run.id for dispatch in dispatches],
        lease_ids=[dispatch.lease.id for dispatch in dispatches],
    )
    return ClaimAnswer(dispatches, 0, replayed=False)

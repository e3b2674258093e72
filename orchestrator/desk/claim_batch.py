"""What a claim does in its transaction: one request's, or those of several together.

Several requests share one transaction and one COMMIT. Within it there is one
claim for each queue and round; in the first round each asks the queue that is
first for it, and so on until it has what it wanted. None of them waits for
anything that concerns another: a request of which a copy is being served right
now, or was before, is served by itself. Only the row of a queue with limits is
waited for, as long as the claim of another process takes that has it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection

from orchestrator.desk.allowances import Allowances, Freeing
from orchestrator.desk.empty_answers import empty_answers
from orchestrator.desk.gathering import ALONE, Alone
from orchestrator.desk.starting_points import StartingPoints
from orchestrator.desk.wishes import Asked, ClaimAnswer
from orchestrator.errors import RequestIdReused
from orchestrator.store import claim_requests, claims
from orchestrator.store.claim_requests import ClaimRequest, Key
from orchestrator.store.known_limits import KnownLimits
from orchestrator.store.known_slots import Taking
from orchestrator.store.parked import Parked, refused_meanwhile
from orchestrator.store.records import Dispatch


class RefusedMeanwhileError(Exception):
    """Some that were parked are to get nothing any more: the runs are for the others."""

    def __init__(self, keys: set[Key]) -> None:
        super().__init__(f"{len(keys)} claims")
        self._keys = keys

    def means(self, asked: Asked) -> bool:
        """Whether this is one of them; one that was not parked has just been admitted."""
        return asked.parked_at is not None and asked.wish.key in self._keys


class LimitsFoundError(Exception):
    """A queue turned out to have limits: its row is to be locked before anything is claimed."""


@dataclass(frozen=True, slots=True)
class Known:
    """
    What one process knows that bounds its claims; it learns from each.

    Attributes:
        points: From where it looks along the queues; they move.
        slots: What this transaction takes of the executors' room.
    """

    limits: KnownLimits
    points: StartingPoints
    slots: Taking


@dataclass(frozen=True, slots=True)
class Served:
    """
    What became of some wishes.

    Attributes:
        answers: One for each wish, in their order.
        freeing: The queues whose rate is used up, and when they allow more.
        holds_limits: Rows of queues with limits are locked.
    """

    answers: Sequence[ClaimAnswer | Alone]
    freeing: Mapping[str, Freeing]
    holds_limits: bool

    @property
    def dispatches(self) -> list[Dispatch]:
        """All that was granted."""
        return [
            dispatch
            for answer in self.answers
            if isinstance(answer, ClaimAnswer)
            for dispatch in answer.dispatches
        ]


def claim_together(connection: Connection, asked: Sequence[Asked], *, known: Known) -> Served:
    """
    Claim for several requests; one that a copy of it holds up is not waited for.

    Raises:
        As `claim_along`.
    """
    served = claim_along(connection, asked, known=known, briefly=len(asked) > 1)
    if not served.dispatches:
        _keep_nothing(connection, holds_limits=served.holds_limits)
    return served


def claim_along(
    connection: Connection, asked: Sequence[Asked], *, known: Known, briefly: bool
) -> Served:
    """
    As `claim_together`, in a transaction that may have more to commit than the claims.

    Args:
        briefly: Others share the transaction, whom limits that are held do not concern.

    Raises:
        RefusedMeanwhileError: Nothing may be committed; the others are to be served again.
        LimitsFoundError: Nothing may be committed; all are to be served again.
    """
    # A second copy in the same batch is served by itself.
    once: dict[Key, Asked] = {}
    for each in asked:
        once.setdefault(each.wish.key, each)
    alike = list(once.values())
    are_free = claim_requests.lock_free(connection, list(once))
    free = [each for each, is_free in zip(alike, are_free, strict=True) if is_free]
    got, allowances = _claim(connection, free, known, briefly=briefly)
    answers = {
        id(each): answer for each, answer in zip(free, got, strict=True) if answer is not None
    }
    return Served(
        [answers.get(id(each), ALONE) for each in asked],
        allowances.freeing(),
        allowances.hold_rows,
    )


def claim_alone(
    connection: Connection, asked: Asked, *, known: Known
) -> tuple[ClaimAnswer, Mapping[str, Freeing]]:
    """
    Claim for one request, after any copy of it that is being served.

    Returns:
        Its answer, and `freeing` as `Served` has it.

    Raises:
        RequestIdReused: The request id belongs to another body.
        RefusedMeanwhileError, LimitsFoundError: As `claim_together`.
    """
    wish = asked.wish
    request = ClaimRequest(wish.token_name, wish.request_id, wish.session, wish.body_hash)
    replayed = replay(connection, request, lease_seconds=wish.lease_seconds)
    if replayed is not None:
        waited = _parked([asked])
        if waited and (refused := refused_meanwhile(connection, waited)):
            raise RefusedMeanwhileError(refused)
        return ClaimAnswer(replayed, 0, replayed=True), {}
    (answer,), allowances = _claim(connection, [asked], known, briefly=False)
    if answer is None:
        raise AssertionError("Its key is locked, and nothing was granted to it before.")
    if not answer.dispatches:
        _keep_nothing(connection, holds_limits=allowances.hold_rows)
    return answer, allowances.freeing()


def replay(
    connection: Connection, request: ClaimRequest, *, lease_seconds: int
) -> list[Dispatch] | None:
    """
    What a request got when it was first asked, as far as it still lives.

    Returns:
        None when it got nothing yet. No copy of it is served before this transaction ends.

    Raises:
        RequestIdReused: The request id belongs to another body.
    """
    claim_requests.lock(connection, request.key)
    granted = claim_requests.granted(connection, [request.key]).get(request.key)
    if granted is None:
        return None
    if granted.body_hash != request.body_hash:
        raise RequestIdReused(f"requestId {request.request_id} was used with another body.")
    return claims.still_held(
        connection,
        token_name=request.token_name,
        run_ids=granted.run_ids,
        lease_ids=granted.lease_ids,
        lease_seconds=lease_seconds,
    )


@dataclass(slots=True)
class _Round:
    """
    What one wish has got so far, and how much more may go into its answer.

    Attributes:
        most: How many it may have, of those that it asks for.
        is_refused: It was parked, and is to get nothing any more.
    """

    asked: Asked
    most: int
    is_refused: bool = False
    got: list[Dispatch] = field(default_factory=list)
    answer_bytes: int = claims.ANSWER_BYTES

    @property
    def wants(self) -> int:
        return self.most - len(self.got) if self.answer_bytes > 0 else 0


def _claim(
    connection: Connection, asked: Sequence[Asked], known: Known, *, briefly: bool
) -> tuple[list[ClaimAnswer | None], Allowances]:
    """
    An answer for each; None for those that were granted something before.

    Beside them what the queues allowed.
    """
    rounds = _rounds(connection, asked, known.slots)
    queues = {name for each in asked for name in each.queues}
    allowances = Allowances(connection, known.limits, queues, briefly=briefly)
    for place in range(max((len(each.queues) for each in asked), default=0)):
        by_queue: dict[str, list[_Round]] = {}
        for each in rounds:
            if place < len(each.asked.queues) and each.wants:
                by_queue.setdefault(each.asked.queues[place], []).append(each)
        for queue, wanting in sorted(by_queue.items()):
            if not _claim_from(connection, queue, wanting, allowances, known.points):
                known.limits.note(queue)
                raise LimitsFoundError
    allowances.keep()
    if refused := {each.asked.wish.key for each in rounds if each.got and each.is_refused}:
        raise RefusedMeanwhileError(refused)
    for place, each in enumerate(rounds):
        known.slots.gave(place, len(each.got))
    without = [each.asked.wish for each in rounds if not each.got]
    empty: Mapping[Key, ClaimAnswer] = {}
    if without:
        full = {
            process: why
            for process in {each.asked.wish.process for each in rounds if not each.most}
            if (why := known.slots.full(process))
        }
        empty = empty_answers(connection, without, allowances.freeing(), full)
    answers = [
        ClaimAnswer(each.got, 0, replayed=False) if each.got else empty.get(each.asked.wish.key)
        for each in rounds
    ]
    return answers, allowances


def _keep_nothing(connection: Connection, *, holds_limits: bool) -> None:
    """
    End a transaction that granted nothing, and its locks with it.

    Without a row's lock it has nothing to flush, so COMMIT costs no more than ROLLBACK, after
    which psycopg would drop all that is prepared on this connection: the next claim and
    create would be parsed and planned anew (docs/performance.md, "An idle service").
    """
    connection.rollback() if holds_limits else connection.commit()


def _claim_from(
    connection: Connection,
    queue: str,
    wanting: Sequence[_Round],
    allowances: Allowances,
    points: StartingPoints,
) -> bool:
    """Claim from one queue for all that want more; False: its limits were not known of."""
    at_most = allowances.of(queue, sum(each.wants for each in wanting))
    if at_most == 0:
        return True
    wishes = [
        claims.ClaimWish(
            request_id=each.asked.wish.request_id,
            token_name=each.asked.wish.token_name,
            executor=each.asked.wish.executor,
            session=each.asked.wish.session,
            body_hash=each.asked.wish.body_hash,
            lease_seconds=each.asked.wish.lease_seconds,
            limit=each.wants,
            answer_bytes=each.answer_bytes,
            goes_on=bool(each.got),
        )
        for each in wanting
    ]
    waited = _parked([each.asked for each in wanting])
    start = points.of(queue)
    claim = partial(claims.claim, connection, queue, wishes, at_most=at_most, parked=waited)
    claimed = claim(from_key=start)
    if start is not None and not claimed.dealt:
        # Nothing is not said before everything was looked at.
        claimed = claim()
    for each in wanting:
        each.is_refused = each.is_refused or each.asked.wish.key in claimed.refused
    points.move(queue, used=start, to=claimed.dealt[0].claim_key if claimed.dealt else None)
    for one in claimed.dealt:
        wanting[one.wish].got.append(one.dispatch)
        wanting[one.wish].answer_bytes -= one.bytes
    if at_most is None:
        return not claimed.is_limited
    allowances.note(queue, len(claimed.dealt))
    return True


def _rounds(connection: Connection, asked: Sequence[Asked], slots: Taking) -> list[_Round]:
    taken = slots.take(connection, [(each.wish.process, each.wish.limit) for each in asked])
    return [_Round(each, most) for each, most in zip(asked, taken, strict=True)]


def _parked(asked: Sequence[Asked]) -> list[Parked]:
    """Those of them that were parked, and for how long by now."""
    now = time.monotonic()
    return [
        Parked(each.wish.key, each.wish.key_id, each.wish.process, now - each.parked_at)
        for each in asked
        if each.parked_at is not None
    ]

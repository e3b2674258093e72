"""Bulk acts: one act on every run of a filter, run by run.

Each run's act is its own, in a transaction of its own; one that refuses stops
none of the others. A request works for a bounded time. Sent again with its key
it goes on where it stopped, and once all is done it gets the same answer. The
runs are looked through stretch by stretch, each in a transaction: however few of
many match, every request comes further than the one before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from orchestrator.desk.acts import Beside
from orchestrator.errors import Conflict, Gone, IdempotencyKeyReused, Missing, Overloaded
from orchestrator.store import bulk_acts, census, operator_acts, runs
from orchestrator.store.acts import Act
from orchestrator.store.bulk_acts import BulkKey, Progress
from orchestrator.store.engine import Database
from orchestrator.store.operator_acts import OperatorAct
from orchestrator.store.patience import new_patience
from orchestrator.store.records import Run
from orchestrator.store.replication import vouch
from orchestrator.store.run_filter import RunFilter
from orchestrator.store.run_search import EVERY_RUN, Scanned, scan_runs
from orchestrator.store.transaction import is_the_items_fault, transact

MOST_SECONDS = 10.0
MOST_COUNTED = 100_000
STRETCH = 5_000

_NOTHING = UUID(int=0)
_REFUSALS = (Missing, Conflict, Gone, Overloaded)

log = structlog.get_logger(__name__)


class RunAct(Protocol):
    """An act on one run, with something written beside it."""

    def __call__(
        self,
        database: Database,
        act: Act,
        queue_patterns: tuple[str, ...],
        *,
        beside: Beside | None = None,
    ) -> Run: ...


@dataclass(frozen=True, slots=True)
class BulkWish:
    """
    One act wanted on many runs, and who wants it.

    Attributes:
        line: What is noted of it, once, when it begins.
        newest: What was created after this run is no part of it; None: after it begins.
    """

    key: BulkKey
    body_hash: bytes
    wanted: RunFilter
    queue_patterns: tuple[str, ...]
    line: OperatorAct
    reason: str | None
    newest: UUID | None = None


@dataclass(frozen=True, slots=True)
class BulkAnswer:
    """
    What a bulk act has done so far.

    Attributes:
        matched: Runs passed: changed, refused, or as asked for already.
        more: Sent again with the same key it goes on.
    """

    matched: int
    changed: int
    refused: int
    more: bool


class _Overtaken(Exception):
    """Another copy of the request has passed this run."""


def count(
    database: Database,
    wanted: RunFilter,
    queue_patterns: tuple[str, ...],
    *,
    newest: UUID | None = None,
    most_seconds: float = MOST_SECONDS,
) -> BulkAnswer:
    """How many runs a bulk act would pass now; `more`: it stopped counting."""
    until = time.monotonic() + most_seconds
    matched = 0
    before: UUID | None = EVERY_RUN if newest is None else _beyond(newest)
    while before is not None:
        scanned = _scan(database, wanted, queue_patterns, before)
        matched += len(scanned.run_ids)
        before = scanned.reached if scanned.looked_at == STRETCH else None
        if matched > MOST_COUNTED or time.monotonic() > until:
            break
    return BulkAnswer(min(matched, MOST_COUNTED), changed=0, refused=0, more=before is not None)


def act_on_all(
    database: Database,
    wish: BulkWish,
    act: RunAct,
    *,
    stopping: threading.Event,
    most_seconds: float = MOST_SECONDS,
) -> BulkAnswer:
    """
    Do something to every run of a filter, from the newest down.

    Runs that are created meanwhile are no part of it.

    Args:
        stopping: When set, the rest is left for a repeat.

    Raises:
        IdempotencyKeyReused: The key belongs to another body.
    """
    until = time.monotonic() + most_seconds

    def is_up() -> bool:
        return stopping.is_set() or time.monotonic() > until

    with new_patience():
        progress = transact(database.work, lambda connection: _begun(connection, wish))
    if progress.body_hash != wish.body_hash:
        raise IdempotencyKeyReused("The Idempotency-Key belongs to another bulk act.")
    while not progress.is_over and not is_up():
        scanned = _scan(database, wish.wanted, wish.queue_patterns, progress.before)
        all_passed = _pass_all(database, wish, act, scanned.run_ids, is_up)
        after = partial(_after, wish=wish, passed=scanned if all_passed else None)
        with new_patience():
            progress = transact(database.work, after)
    return BulkAnswer(
        progress.matched, progress.changed, progress.refused, more=not progress.is_over
    )


def _begun(connection: Connection, wish: BulkWish) -> Progress:
    newest = runs.newest_id(connection)
    before = _NOTHING if newest is None else _beyond(newest)
    if wish.newest is not None:
        before = min(before, _beyond(wish.newest))
    if bulk_acts.begin(connection, wish.key, body_hash=wish.body_hash, before=before):
        operator_acts.note(connection, wish.line)
    return _progress(connection, wish)


def _beyond(run_id: UUID) -> UUID:
    return UUID(int=min(run_id.int + 1, EVERY_RUN.int))


def _after(connection: Connection, wish: BulkWish, *, passed: Scanned | None) -> Progress:
    if passed is not None:
        if passed.reached is None:
            bulk_acts.end(connection, wish.key)
        else:
            bulk_acts.skip(connection, wish.key, through=passed.reached)
    return _progress(connection, wish)


def _progress(connection: Connection, wish: BulkWish) -> Progress:
    progress = bulk_acts.progress(connection, wish.key)
    if progress is None:
        raise Overloaded("This bulk act was forgotten meanwhile.", retry_after_seconds=1)
    # It may be what another copy of the request has written, and was not answered.
    vouch(connection)
    return progress


def _scan(
    database: Database, wanted: RunFilter, queue_patterns: tuple[str, ...], before: UUID
) -> Scanned:
    def work(connection: Connection) -> Scanned:
        census.walk_indexes(connection)
        return scan_runs(
            connection, queue_patterns=queue_patterns, wanted=wanted, before=before, limit=STRETCH
        )

    with new_patience():
        return transact(database.work, work)


def _pass_all(
    database: Database,
    wish: BulkWish,
    act: RunAct,
    run_ids: Sequence[UUID],
    is_up: Callable[[], bool],
) -> bool:
    """Whether none of these is left to be passed."""
    for run_id in run_ids:
        if is_up():
            return False
        try:
            with new_patience():
                _pass(database, wish, act, run_id)
        except _Overtaken:
            log.info("bulk_act_overtaken", key=wish.key.idempotency_key)
            return False
    return True


def _pass(database: Database, wish: BulkWish, act: RunAct, run_id: UUID) -> None:
    """
    Act on one run and step past it.

    Raises:
        _Overtaken: Another copy of the request did, or this one before it knew.
    """

    def advance(connection: Connection, *, changed: bool, refused: bool) -> None:
        if not bulk_acts.advance(
            connection, wish.key, past=run_id, changed=changed, refused=refused
        ):
            raise _Overtaken

    def beside(connection: Connection, changed: bool) -> None:
        advance(connection, changed=changed, refused=False)

    # The bulk's key is no event's: that a run was passed says what was done to it.
    one = Act(
        run_id=run_id,
        actor=wish.key.token_name,
        request_id=wish.line.request_id,
        idempotency_key=None,
        reason=wish.reason,
        key_id=wish.line.key_id,
    )
    try:
        act(database, one, wish.queue_patterns, beside=beside)
    except (*_REFUSALS, DBAPIError) as refusal:
        if isinstance(refusal, DBAPIError) and not is_the_items_fault(refusal):
            raise
        # A run whose row somebody holds counts as refused; a service that is busy
        # refuses the next line too.
        transact(database.work, lambda connection: advance(connection, changed=False, refused=True))

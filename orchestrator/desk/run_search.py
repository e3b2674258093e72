"""A page of the runs that match: what indexes know of them, and the newest of the rest.

Nobody waits for a look through the whole table. Where no index leads to what is sought, so
many of the newest runs are looked at, and who asked is told how far that went.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection

from orchestrator.store import census
from orchestrator.store.engine import Database
from orchestrator.store.run_filter import RunFilter
from orchestrator.store.run_search import (
    EVERY_RUN,
    INDEXED,
    RunLine,
    Scanned,
    find_by_word,
    find_in_states,
    lines_of,
    scan_runs,
)
from orchestrator.store.transaction import transact

# Mostly the first of them are enough for a page.
NEAR, FAR = 200, 10_000
# Of a state with more runs than that, so many that its index leads to are looked at.
SOME = 1_000

_MILLISECONDS_BEGIN_AT_BIT = 80


@dataclass(frozen=True, slots=True)
class Found:
    """
    One page of runs, the newest first.

    Attributes:
        next_before: The page after this one begins below it; None when it was the last.
        looked_at: How many runs were, when not all could be; None when all were.
        looked_to: Runs that were created since then were looked at; None with `looked_at`.
    """

    lines: list[RunLine]
    next_before: UUID | None
    looked_at: int | None = None
    looked_to: datetime | None = None


def search(
    database: Database,
    wanted: RunFilter,
    queue_patterns: tuple[str, ...],
    *,
    before: UUID | None,
    limit: int,
) -> Found:
    """
    The runs that match, below an id or from the newest on.

    The first page may hold older runs too that an index knows of: those come again in
    their place, when one goes on.
    """

    def look(connection: Connection) -> Found:
        census.walk_indexes(connection)
        reach, scanned = NEAR, _scan(connection, wanted, queue_patterns, before, NEAR, limit)
        if len(scanned.run_ids) <= limit and scanned.looked_at == NEAR:
            reach, scanned = FAR, _scan(connection, wanted, queue_patterns, before, FAR, limit)
        run_ids = [*scanned.run_ids[:limit]]
        if len(scanned.run_ids) > limit:
            return Found(lines_of(connection, run_ids), run_ids[-1])
        if scanned.looked_at < reach or scanned.reached is None:
            return Found(lines_of(connection, run_ids), None)
        if before is None:
            known = _known(connection, wanted, queue_patterns, limit)
            run_ids = sorted({*run_ids, *known}, reverse=True)[:limit]
        return Found(
            lines_of(connection, run_ids),
            scanned.reached,
            scanned.looked_at,
            _created_at(scanned.reached),
        )

    return transact(database.work, look)


def _scan(
    connection: Connection,
    wanted: RunFilter,
    queue_patterns: Sequence[str],
    before: UUID | None,
    reach: int,
    limit: int,
) -> Scanned:
    # One more than is shown tells that there are more.
    return scan_runs(
        connection,
        queue_patterns=queue_patterns,
        wanted=wanted,
        before=before or EVERY_RUN,
        limit=reach,
        most_found=limit + 1,
    )


def _known(
    connection: Connection, wanted: RunFilter, queue_patterns: Sequence[str], limit: int
) -> list[UUID]:
    """Those that match of what indexes know of the states and words that are sought."""
    known: list[UUID] = []
    if wanted.states and INDEXED.issuperset(wanted.states):
        known += find_in_states(
            connection, queue_patterns=queue_patterns, wanted=wanted, reach=SOME, limit=limit
        )
    words = [*wanted.words, *([wanted.dedup_key] if wanted.dedup_key is not None else [])]
    found = {run_id for word in words for run_id in find_by_word(connection, word, limit=limit)}
    if found:
        among = replace(wanted, ids=tuple(found))
        known += _scan(connection, among, queue_patterns, None, len(found), limit).run_ids
    return known


def _created_at(run_id: UUID) -> datetime:
    """When a run was created, as its id has it."""
    return datetime.fromtimestamp((run_id.int >> _MILLISECONDS_BEGIN_AT_BIT) / 1000, UTC)

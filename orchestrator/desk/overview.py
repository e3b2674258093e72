"""The overview: how much runs and waits, how it went lately, and what somebody must see to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from orchestrator.desk.census import Census, QueueCensus
from orchestrator.lifecycle import RunState, WaitingReason, covers
from orchestrator.store import census
from orchestrator.store.activity import MINUTE, Counted, Point, series
from orchestrator.store.census import NONE, Count
from orchestrator.store.compat_executors import SecondAddress, second_addresses
from orchestrator.store.engine import Database
from orchestrator.store.executors import Quarantined, list_quarantined
from orchestrator.store.run_filter import RunFilter
from orchestrator.store.run_search import EVERY_RUN, scan_runs
from orchestrator.store.transaction import transact

MINUTES = 60
# A run that could be claimed and has been due for so long: then its queue is late.
LATE_SECONDS = 300
# So many of each kind are named.
MOST_NAMED = 10
# So many of the newest waiting runs are looked through for those that wait to be resolved.
MOST_WAITING = 1_000


@dataclass(frozen=True, slots=True)
class Figures:
    """
    What is so now, and what happened in the last hour; of the queues that may be seen.

    The minute that is not over counts, but is no point of `hour`.

    Attributes:
        oldest_at: Since when the oldest has been due of those that are claimed next.
        hour: Each of the last minutes that are over.
    """

    pending: Count
    running: Count
    finished: int
    failed: int
    oldest_at: datetime | None
    hour: Sequence[Point]


@dataclass(frozen=True, slots=True)
class LateQueue:
    """
    A queue whose runs wait for too long.

    Attributes:
        is_served: Whether any executor that lives claims from it.
    """

    name: str
    pending: Count
    oldest_at: datetime | None
    is_served: bool


@dataclass(frozen=True, slots=True)
class Attention:
    """
    What somebody must see to; of each kind the first few.

    Attributes:
        unknown: Runs that wait to be resolved, of the newest that wait.
        late: Queues nobody serves, then those whose oldest run is late.
        second_addresses: Executors of the adapter whose secret is used twice.
    """

    unknown: Count
    quarantined: Sequence[Quarantined]
    late: Sequence[LateQueue]
    second_addresses: Sequence[SecondAddress] = ()

    @property
    def is_needed(self) -> bool:
        """Whether there is any."""
        return bool(self.unknown.number or self.quarantined or self.late or self.second_addresses)


@dataclass(frozen=True, slots=True)
class Overview:
    """
    Attributes:
        charted: Each span of time that is shown and over.
    """

    figures: Figures
    attention: Attention
    charted: Sequence[Point]


def overview(
    database: Database,
    counted: Census,
    queue_patterns: tuple[str, ...],
    *,
    span_seconds: int,
    points: int,
) -> Overview:
    """
    How things are, in the queues that may be seen.

    Args:
        span_seconds, points: How long each of how many points of `charted` is.
    """

    def look(connection: Connection) -> Overview:
        def lately(span_seconds: int, points: int) -> Sequence[Point]:
            return series(
                connection,
                span_seconds=span_seconds,
                points=points + 1,
                queue_patterns=queue_patterns,
            )

        # The last point of a series is not over: as part of a line it would look like a fall.
        hour = lately(MINUTE, MINUTES)
        is_the_hour = (span_seconds, points) == (MINUTE, MINUTES)
        return Overview(
            _figures(counted, queue_patterns, hour),
            Attention(
                _unknown(connection, queue_patterns),
                _quarantined(connection, queue_patterns),
                _late(counted, queue_patterns),
                _second_addresses(connection, queue_patterns),
            ),
            (hour if is_the_hour else lately(span_seconds, points))[:-1],
        )

    return transact(database.work, look)


def _figures(counted: Census, queue_patterns: tuple[str, ...], hour: Sequence[Point]) -> Figures:
    queues = counted.covered(queue_patterns)
    oldest = [each.oldest_pending_seconds for each in queues if not _is_paused(each)]
    return Figures(
        pending=sum((each.count(RunState.PENDING) for each in queues), start=NONE),
        running=sum((each.leases for each in queues), start=NONE),
        finished=sum(point.numbers[Counted.FINISHED] for point in hour[1:]),
        failed=sum(point.numbers[Counted.FAILED] for point in hour[1:]),
        oldest_at=_since(counted, max((each for each in oldest if each is not None), default=None)),
        hour=hour[:-1],
    )


def _late(counted: Census, queue_patterns: tuple[str, ...]) -> list[LateQueue]:
    found = [
        LateQueue(
            each.name,
            each.count(RunState.PENDING),
            _since(counted, each.oldest_pending_seconds),
            is_served=each.fleet.executors > 0,
        )
        for each in counted.covered(queue_patterns)
        if each.oldest_pending_seconds is not None
        and not _is_paused(each)
        and (not each.fleet.executors or each.oldest_pending_seconds >= LATE_SECONDS)
    ]
    return sorted(found, key=lambda queue: queue.is_served)[:MOST_NAMED]


def _unknown(connection: Connection, queue_patterns: tuple[str, ...]) -> Count:
    census.walk_indexes(connection)
    scanned = scan_runs(
        connection,
        queue_patterns=queue_patterns,
        wanted=RunFilter(waiting_reason=WaitingReason.OUTCOME_UNKNOWN),
        before=EVERY_RUN,
        limit=MOST_WAITING,
    )
    return Count(len(scanned.run_ids), is_capped=scanned.looked_at == MOST_WAITING)


def _quarantined(connection: Connection, queue_patterns: tuple[str, ...]) -> list[Quarantined]:
    return [each for each in list_quarantined(connection) if _is_seen(each.queues, queue_patterns)][
        :MOST_NAMED
    ]


def _second_addresses(
    connection: Connection, queue_patterns: tuple[str, ...]
) -> list[SecondAddress]:
    return [each for each in second_addresses(connection) if _is_seen(each.queues, queue_patterns)][
        :MOST_NAMED
    ]


def _is_seen(queues: Sequence[str], queue_patterns: tuple[str, ...]) -> bool:
    # One that serves no queue by name belongs to nobody in particular.
    return not queues or any(covers(queue_patterns, queue) for queue in queues)


def _is_paused(queue: QueueCensus) -> bool:
    return queue.settings is not None and queue.settings.paused


def _since(counted: Census, seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    # To the second: counted anew it is the same moment, but for some milliseconds.
    return (counted.at - timedelta(seconds=seconds)).replace(microsecond=0)

"""The census: how many runs there are, and who serves them, counted once for all who ask.

Counting costs a few hundredths of a second of the database. So what was counted is kept for
a few seconds, one thread counts at a time, and whoever asks meanwhile is given what is kept.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from orchestrator.errors import DibsError, Unavailable
from orchestrator.lifecycle import OVER, RunState, covers
from orchestrator.store import activity, census, queues, serving
from orchestrator.store.census import MOST_COUNTED, NONE, Count
from orchestrator.store.engine import Database
from orchestrator.store.leases import server_time
from orchestrator.store.queues import QueueSettings
from orchestrator.store.serving import Fleet
from orchestrator.store.transaction import transact

# Whoever shows figures is given what was counted so long ago at most.
KEPT_SECONDS = 5.0
# Who asks for fresher ones gets none younger than so many times what a census takes.
TIMES_ITS_COST = 100
# While the database does not answer, what is kept is better than nothing for so long.
STALE_SECONDS = 60.0
# And nobody asks it again at once.
REST_SECONDS = 1.0

NOBODY = Fleet()


@dataclass(slots=True)
class QueueCensus:
    """
    One queue at the moment of a census; a run counts where its current step is claimed.

    Attributes:
        states: How many runs, by state. Of `finished` as many as were counted as such in
            the days that activity is kept: there is no index to count them by.
        gated: Of those pending, those without a place of their concurrencyKey.
        oldest_pending_seconds: For how long the oldest has been due of those that are
            claimed next; None when nothing is pending.
        leases_expired: Of the leases, those that have run out and nobody has taken yet.
        fleet: Who serves it now; who serves several queues is counted in each.
        slots_each: Of those, on average; else of those that served it last; else 1.
        settings: As they were then; None when nothing was set.
    """

    name: str
    states: dict[str, Count] = field(default_factory=dict)
    gated: Count = NONE
    oldest_pending_seconds: float | None = None
    leases_expired: Count = NONE
    fleet: Fleet = NOBODY
    slots_each: float = 1.0
    settings: QueueSettings | None = None

    def count(self, run_state: str) -> Count:
        """How many of its runs are in a state."""
        return self.states.get(run_state, NONE)

    @property
    def leases(self) -> Count:
        return self.count(RunState.LOADING) + self.count(RunState.STARTED)

    @property
    def is_in_use(self) -> bool:
        """Whether it was set, is served, or has live runs."""
        return (
            self.settings is not None
            or self.fleet.executors > 0
            or any(count.number for state, count in self.states.items() if state not in OVER)
        )

    @property
    def wanted_executors(self) -> int:
        """
        How many executors this queue could keep busy: for its leases, and for what could be
        claimed at once; 0 when it has neither.

        As many of them as serve it, or served it last, have slots; a paused queue wants what
        its leases need, and one with a limit no more than that allows.
        """
        runs = self.leases.number
        settings = self.settings or QueueSettings(self.name)
        if not settings.paused:
            claimable = self.count(RunState.PENDING).number - self.gated.number
            if settings.max_concurrency is not None:
                claimable = min(claimable, max(0, settings.max_concurrency - runs))
            runs += claimable
        return math.ceil(runs / self.slots_each)


@dataclass(frozen=True, slots=True)
class Census:
    """
    What was counted, and when.

    Attributes:
        at: When, by the database's clock.
        taken_at: When, by this process's monotonic clock.
        cost_seconds: How long it took.
        queues: By name: those that were set, are served, or have runs in any state.
        fleet: All executors that serve now, each once.
    """

    at: datetime
    taken_at: float
    cost_seconds: float
    queues: Mapping[str, QueueCensus]
    fleet: Fleet

    @property
    def age_seconds(self) -> float:
        """How old it is."""
        return time.monotonic() - self.taken_at

    def covered(self, queue_patterns: tuple[str, ...]) -> list[QueueCensus]:
        """The queues that a token covers, by name."""
        return [queue for name, queue in self.queues.items() if covers(queue_patterns, name)]

    def by_state(self, queue_patterns: tuple[str, ...]) -> dict[str, Count]:
        """How many runs there are in each state, of the queues that a token covers."""
        covered = self.covered(queue_patterns)
        return {
            state: sum((queue.count(state) for queue in covered), start=NONE) for state in RunState
        }


class CensusDesk:
    """One process's census."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = threading.Condition()
        self._is_counting = False
        self._kept: Census | None = None
        self._failed_at = -math.inf

    def now(self, *, within_seconds: float = KEPT_SECONDS) -> Census:
        """
        The counts; one thread counts at a time, and nobody waits who can be given what is kept.

        Args:
            within_seconds: How old they may be; older ones are given while somebody counts,
                while a census costs too much to be taken so often, and for a minute while
                the database does not answer.

        Raises:
            DibsError: The database does not answer, and what is kept is too old.
        """
        with self._changed:
            while self._is_counting and self._usable is None:
                self._changed.wait()
            if self._is_counting or not self._is_due(within_seconds):
                return self._given()
            self._is_counting = True
        taken: Census | None = None
        try:
            taken = _take(self._database)
        except DibsError:
            if self._usable is None:
                raise
        finally:
            with self._changed:
                self._is_counting = False
                if taken is None:
                    self._failed_at = time.monotonic()
                else:
                    self._kept = taken
                self._changed.notify_all()
        return self._given()

    def _is_due(self, within_seconds: float) -> bool:
        if time.monotonic() - self._failed_at < REST_SECONDS:
            return False
        if self._kept is None:
            return True
        return self._kept.age_seconds > min(
            KEPT_SECONDS, max(within_seconds, TIMES_ITS_COST * self._kept.cost_seconds)
        )

    @property
    def _usable(self) -> Census | None:
        """What is kept, unless it is too old for anybody."""
        kept = self._kept
        return kept if kept is not None and kept.age_seconds < STALE_SECONDS else None

    def _given(self) -> Census:
        usable = self._usable
        if usable is None:
            raise Unavailable("The runs could not be counted just now.", retry_after_seconds=1)
        return usable


def _take(database: Database) -> Census:
    began = time.monotonic()
    at, found, fleet = transact(database.work, _count)
    taken_at = time.monotonic()
    return Census(at, taken_at, taken_at - began, found, fleet)


def _count(connection: Connection) -> tuple[datetime, dict[str, QueueCensus], Fleet]:
    found: dict[str, QueueCensus] = {}

    def queue(name: str) -> QueueCensus:
        return found.setdefault(name, QueueCensus(name))

    census.walk_indexes(connection)
    at = server_time(connection)
    for each in queues.settings(connection):
        queue(each.name).settings = each
    for pending in census.pending(connection):
        waiting = queue(pending.queue)
        waiting.states[RunState.PENDING] = pending.count
        waiting.gated = pending.gated
        waiting.oldest_pending_seconds = pending.oldest_seconds
    for resting in census.resting(connection):
        queue(resting.queue).states[resting.run_state] = resting.count
    for leased in census.leased(connection):
        held = queue(leased.queue)
        held.states |= {RunState.LOADING: leased.loading, RunState.STARTED: leased.started}
        held.leases_expired = leased.expired
    for name, number in activity.finished(connection).items():
        queue(name).states[RunState.FINISHED] = Count(
            min(number, MOST_COUNTED), is_capped=number > MOST_COUNTED
        )
    for served in serving.serving(connection):
        queue(served.queue).fleet = served.fleet
        queue(served.queue).slots_each = served.slots_each
    return at, dict(sorted(found.items())), serving.fleet(connection)

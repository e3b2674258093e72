"""The vitals: how database and keeper are, looked at once for all who ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from orchestrator.store import vitals
from orchestrator.store.engine import Database
from orchestrator.store.transaction import transact
from orchestrator.store.vitals import KeeperStanding, TableSize

KEPT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Vitals:
    """
    What was seen.

    Attributes:
        taken_at: By this process's monotonic clock.
        latency_seconds: What one small statement took, from here and back.
        executors: By state.
        unknown_outcomes: Of the newest runs that wait, those that wait to be resolved.
    """

    taken_at: float
    latency_seconds: float
    keeper: KeeperStanding
    executors: Mapping[str, int]
    unknown_outcomes: int
    tables: Sequence[TableSize]


class VitalsDesk:
    """One process's vitals."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._kept: Vitals | None = None

    def now(self) -> Vitals:
        """
        How things are, as of five seconds ago at most; one thread looks for all.

        Raises:
            DibsError: The database does not answer.
        """
        with self._lock:
            if self._kept is None or time.monotonic() - self._kept.taken_at >= KEPT_SECONDS:
                self._kept = transact(self._database.work, _look)
            return self._kept


def _look(connection: Connection) -> Vitals:
    # First: a transaction's first statement may have to open a connection.
    executors = vitals.executors_by_state(connection)
    began = time.perf_counter()
    keeper = vitals.keeper_standing(connection)
    latency_seconds = time.perf_counter() - began
    return Vitals(
        taken_at=time.monotonic(),
        latency_seconds=latency_seconds,
        keeper=keeper,
        executors=executors,
        unknown_outcomes=vitals.unknown_outcomes(connection),
        tables=vitals.table_sizes(connection),
    )

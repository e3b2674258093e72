"""What happens here is written down every few seconds, and not while it happens.

One thread in each process adds what the process has counted (`store/tally.py`) to the tables of
activity and of refused claims. It ends with a last look; a process that is killed takes what
it has counted since the last one with it.
"""

from __future__ import annotations

import math
import threading
import time

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from orchestrator.desk.census import CensusDesk
from orchestrator.errors import DibsError, OutcomeUnknown
from orchestrator.lifecycle import RunState
from orchestrator.store import activity, refusals
from orchestrator.store.activity import Counted, Pending
from orchestrator.store.engine import Database
from orchestrator.store.patience import new_patience
from orchestrator.store.tally import OTHERS, Tallied
from orchestrator.store.transaction import transact, words_of

EVERY_SECONDS = 5.0
# Twice a minute, so that no minute is without.
LOOK_SECONDS = 25.0
STOP_SECONDS = 6.0

log = structlog.get_logger(__name__)


class Activity:
    """One process's part of the tables; `start` it once, `stop` it before the process ends."""

    def __init__(self, database: Database, census: CensusDesk) -> None:
        self._database = database
        self._census = census
        self._looked_at = -math.inf
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="activity", daemon=True)
        self._failing = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write down what has happened, and end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def write(self) -> None:
        """
        Write down what has happened since the last time.

        What could not be written down is kept for the next time. Of a COMMIT that was not
        answered nothing is kept: nothing is to be counted twice.

        Raises:
            DibsError, DBAPIError: The database is away, or refuses it.
        """
        tallied = self._database.tally.take()
        if not tallied.counts and not tallied.refused:
            return
        try:
            with new_patience():
                transact(
                    self._database.work,
                    lambda connection: _write(connection, tallied),
                    look_up=lambda _: None,
                )
        except OutcomeUnknown:
            raise
        except BaseException:
            self._database.tally.put_back(tallied)
            raise

    def look(self) -> None:
        """
        Note what is pending in each queue that has any.

        Raises:
            DibsError: They could not be counted, or it could not be noted.
        """
        pending = {
            name: Pending(count.number, int(queue.oldest_pending_seconds or 0))
            for name, queue in self._census.now().queues.items()
            if (count := queue.count(RunState.PENDING)).number
        }
        if pending:
            with new_patience():
                transact(
                    self._database.work,
                    lambda connection: activity.note_pending(connection, pending),
                )

    def _run(self) -> None:
        while True:
            is_last = self._stopping.wait(EVERY_SECONDS)
            try:
                self.write()
                if not is_last and time.monotonic() - self._looked_at > LOOK_SECONDS:
                    self._looked_at = time.monotonic()
                    self.look()
                self._failing = False
            except (DibsError, DBAPIError) as error:
                if not self._failing:
                    # A database error's own text may hold a row: only its kind is logged.
                    said = words_of(error) if isinstance(error, DibsError) else None
                    log.warning("activity_not_written", kind=type(error).__name__, said=said)
                self._failing = True
            except Exception:
                log.exception("activity_failed")
            if is_last:
                return


def _write(connection: Connection, tallied: Tallied) -> None:
    counts = {queue: dict(numbers) for queue, numbers in tallied.counts.items()}
    if tallied.refused:
        noted = refusals.add(connection, tallied.refused)
        # What is refused of no run is counted all the same.
        noted[OTHERS] += sum(each.number for each in tallied.refused.values()) - noted.total()
        for queue, number in noted.items():
            if number:
                numbers = counts.setdefault(queue, {})
                numbers[Counted.REFUSED] = numbers.get(Counted.REFUSED, 0) + number
    activity.add(connection, counts)

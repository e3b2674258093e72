"""How many runs an executor may still be given: twice its slots in all, if it says how many.

An executor holds what it executes and what it has claimed ahead. One that takes more
than twice what it can execute is broken, or not what it says, and starves the others.
What it holds is counted when it first claims here, and again when what it was given
since might be too much: an executor that keeps to its slots costs a count every few
claims, and one that has not said one in five seconds. What other orchestrators give it meanwhile
is seen with the next count.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection

from orchestrator.store import executors
from orchestrator.store.executors import Holding, OutOfService
from orchestrator.store.incidents import Process

TIMES_ITS_SLOTS = 2
# Sessions are free to choose.
REMEMBERED_PROCESSES = 10_000
# How long one is believed not to have said how many slots it has.
ASKED_AGAIN_SECONDS = 5.0

FULL = "full"


class KnownSlots:
    """One process's knowledge; to be used by way of `taking`."""

    def __init__(self) -> None:
        # None: it has not said, and may have whatever it asks for.
        self._room: dict[Process, int | None] = {}
        self._unsaid_at: dict[Process, float] = {}
        self._counted: dict[Process, Holding] = {}
        # By transactions that have not ended: a count may not see that yet.
        self._being_given: Counter[Process] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def taking(self) -> Iterator[Taking]:
        """What one transaction takes of the executors' room; it ends within this block."""
        taking = Taking(self)
        try:
            yield taking
            # Of one that failed it is not known what was given: the next count says.
            self._give_back(taking.left)
        finally:
            self._end(taking.taken)

    def forget(self, process: Process) -> None:
        """It has registered: what was known may have changed."""
        with self._lock:
            self._room.pop(process, None)

    def take(self, connection: Connection, wanted: Mapping[Process, int]) -> Counter[Process]:
        """As `Taking.take`."""
        with self._lock:
            unsure = [process for process, runs in wanted.items() if not self._has(process, runs)]
        if unsure:
            counted = executors.holdings(connection, unsure)
            with self._lock:
                self._note(unsure, counted)
        with self._lock:
            taken = Counter(
                {process: self._take(process, runs) for process, runs in wanted.items()}
            )
            self._being_given += taken
        return taken

    def full(self, process: Process) -> OutOfService | None:
        """As `Taking.full`."""
        counted = self._counted.get(process)
        if counted is None or counted.runs < (most := TIMES_ITS_SLOTS * counted.slots):
            return None
        return OutOfService(
            FULL,
            f"It held {counted.runs} runs when they were counted last; with slots:"
            f" {counted.slots} it is given {most} at most.",
        )

    def _give_back(self, left: Mapping[Process, int]) -> None:
        with self._lock:
            for process, runs in left.items():
                room = self._room.get(process)
                if room is not None:
                    self._room[process] = room + runs

    def _end(self, taken: Counter[Process]) -> None:
        with self._lock:
            self._being_given -= taken

    def _has(self, process: Process, runs: int) -> bool:
        if process not in self._room:
            return False
        room = self._room[process]
        if room is None:
            # It may have said it to another orchestrator since.
            return time.monotonic() - self._unsaid_at[process] < ASKED_AGAIN_SECONDS
        return room >= runs

    def _note(self, processes: Iterable[Process], counted: Mapping[Process, Holding]) -> None:
        if len(self._room) >= REMEMBERED_PROCESSES:
            self._room.clear()
            self._counted.clear()
            self._unsaid_at.clear()
        for process in processes:
            held = counted.get(process)
            if held is None:
                self._unsaid_at[process] = time.monotonic()
                self._room[process] = None
                continue
            self._counted[process] = held
            most = TIMES_ITS_SLOTS * held.slots
            self._room[process] = max(0, most - held.runs - self._being_given[process])

    def _take(self, process: Process, runs: int) -> int:
        room = self._room.get(process)
        if room is None:
            return runs
        taken = min(room, runs)
        self._room[process] = room - taken
        return taken


class Taking:
    """
    What one transaction takes, and what it has not given of that.

    Attributes:
        taken: By process, in all attempts.
        left: Of the last attempt.
    """

    def __init__(self, known: KnownSlots) -> None:
        self._known = known
        self.taken: Counter[Process] = Counter()
        self.left: Counter[Process] = Counter()

    def take(self, connection: Connection, wanted: Mapping[Process, int]) -> Counter[Process]:
        """
        How many of the runs that are wanted each may be given; another attempt takes anew.

        Args:
            wanted: By process, all that it wants now.
        """
        self.left = self._known.take(connection, wanted)
        self.taken += self.left
        return self.left.copy()

    def gave(self, process: Process, runs: int) -> None:
        """So many were given to it."""
        self.left[process] -= runs

    def full(self, process: Process) -> OutOfService | None:
        """
        Why one is given nothing for which nothing could be taken.

        None while that is only because of what others of its requests are being given.
        """
        return self._known.full(process)

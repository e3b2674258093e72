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
from collections.abc import Iterable, Iterator, Sequence
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

Wanted = tuple[Process, int]
"""An executor, and how many runs it wants with one of its requests."""


class _Room:
    """
    What is known of one executor.

    Attributes:
        is_known: It was asked for, and has not registered since.
        runs: What it may still be given; None: it has not said, and may have whatever it asks for.
        asked_at: When that was, on this process's clock.
        counted: What it held when its runs were counted last.
        being_given: By transactions that have not ended: a count may not see that yet.
    """

    __slots__ = ("asked_at", "being_given", "counted", "is_known", "process", "runs")

    def __init__(self, process: Process) -> None:
        self.process = process
        self.is_known = False
        self.runs: int | None = None
        self.asked_at = 0.0
        self.counted: Holding | None = None
        self.being_given = 0

    def has(self, runs: int) -> bool:
        """Whether it may be given so many, without its runs being counted."""
        if not self.is_known:
            return False
        if self.runs is None:
            # It may have said it to another orchestrator since.
            return time.monotonic() - self.asked_at < ASKED_AGAIN_SECONDS
        return self.runs >= runs

    def note(self, held: Holding | None) -> None:
        self.is_known = True
        self.asked_at = time.monotonic()
        if held is None:
            self.runs = None
            return
        self.counted = held
        self.runs = max(0, TIMES_ITS_SLOTS * held.slots - held.runs - self.being_given)

    def take(self, runs: int) -> int:
        taken = runs
        if self.is_known and self.runs is not None:
            taken = min(self.runs, runs)
            self.runs -= taken
        self.being_given += taken
        return taken

    def give_back(self, runs: int) -> None:
        if self.is_known and self.runs is not None:
            self.runs += runs


class KnownSlots:
    """One process's knowledge; to be used by way of `taking`."""

    def __init__(self) -> None:
        self._rooms: dict[Process, _Room] = {}
        self._lock = threading.Lock()

    @contextmanager
    def taking(self) -> Iterator[Taking]:
        """What one transaction takes of the executors' room; it ends within this block."""
        taking = Taking(self)
        has_ended_well = False
        try:
            yield taking
            has_ended_well = True
        finally:
            taking.end(has_ended_well=has_ended_well)

    def forget(self, process: Process) -> None:
        """It has registered: what was known may have changed."""
        with self._lock:
            if (room := self._rooms.get(process)) is not None:
                room.is_known = False

    def full(self, process: Process) -> OutOfService | None:
        """As `Taking.full`."""
        room = self._rooms.get(process)
        counted = room.counted if room else None
        if counted is None or counted.runs < (most := TIMES_ITS_SLOTS * counted.slots):
            return None
        return OutOfService(
            FULL,
            f"It held {counted.runs} runs when they were counted last; with slots:"
            f" {counted.slots} it is given {most} at most.",
        )

    def take(self, connection: Connection, wanted: Sequence[Wanted]) -> list[tuple[_Room, int]]:
        """For each request in turn, the room of its executor, and how much was taken of it."""
        with self._lock:
            rooms = [self._of(process) for process, _ in wanted]
            sums: dict[_Room, int] = {}
            for room, (_, runs) in zip(rooms, wanted, strict=True):
                sums[room] = sums.get(room, 0) + runs
            unsure = [room for room, runs in sums.items() if not room.has(runs)]
            if not unsure:
                return _taken(rooms, wanted)
        counted = executors.holdings(connection, [room.process for room in unsure])
        with self._lock:
            for room in unsure:
                room.note(counted.get(room.process))
            return _taken(rooms, wanted)

    def end(self, taken: Iterable[tuple[_Room, int]], left: Iterable[tuple[_Room, int]]) -> None:
        """Nothing more is given of what was taken, and this much of it is there again."""
        with self._lock:
            for room, runs in taken:
                room.being_given -= runs
            for room, runs in left:
                room.give_back(runs)

    def _of(self, process: Process) -> _Room:
        room = self._rooms.get(process)
        if room is None:
            if len(self._rooms) >= REMEMBERED_PROCESSES:
                self._rooms = {of: each for of, each in self._rooms.items() if each.being_given}
            room = self._rooms[process] = _Room(process)
        return room


class Taking:
    """What one transaction takes, and what it has not given of that."""

    def __init__(self, known: KnownSlots) -> None:
        self._known = known
        self._in_all_attempts: list[tuple[_Room, int]] = []
        self._in_this: list[tuple[_Room, int]] = []
        self._given: dict[int, int] = {}

    def take(self, connection: Connection, wanted: Sequence[Wanted]) -> list[int]:
        """
        How many runs each request may be given, in their order; another attempt takes anew.

        Args:
            wanted: All that is wanted now; several requests of one executor share its room.
        """
        self._given = {}
        self._in_this = self._known.take(connection, wanted)
        self._in_all_attempts += self._in_this
        return [runs for _, runs in self._in_this]

    def gave(self, place: int, runs: int) -> None:
        """So many were given to the request at this place of those that took."""
        self._given[place] = runs

    def full(self, process: Process) -> OutOfService | None:
        """
        Why one is given nothing for which nothing could be taken.

        None while that is only because of what others of its requests are being given.
        """
        return self._known.full(process)

    def end(self, *, has_ended_well: bool) -> None:
        """Of one that failed it is not known what was given: the next count says."""
        left = [
            (room, runs - self._given.get(place, 0))
            for place, (room, runs) in enumerate(self._in_this)
        ]
        self._known.end(self._in_all_attempts, left if has_ended_well else ())


def _taken(rooms: Sequence[_Room], wanted: Sequence[Wanted]) -> list[tuple[_Room, int]]:
    return [(room, room.take(runs)) for room, (_, runs) in zip(rooms, wanted, strict=True)]

"""The memory that the processes of one server count in: a row of numbers for each.

prometheus_client has files for this. An increment of theirs takes three times as long, under
one lock for all metrics; each process that was ever started leaves its files behind; and they
need a directory that somebody may write to. Here a process that takes the place of
another counts on where that one ended, and nothing is left on any disk.
"""

from __future__ import annotations

import mmap
import os
from multiprocessing.reduction import DupFd
from typing import Any, Final, TypeAlias

# Numbers in a row: about three times as many as are declared.
ROOM: Final = 2_048

Row: TypeAlias = "memoryview[float]"
"""The numbers of one process, as doubles: each is read and written as a whole."""


def private_row() -> Row:
    """A row that no other process knows."""
    return memoryview(bytearray(8 * ROOM)).cast("d")


class Rows:
    """
    The rows of one server, made before its processes are; each is given this object.

    A process writes to its own row only. Two may share one for the moment in which one
    replaces the other: what they count just then may be off by a few.
    """

    def __init__(self, processes: int) -> None:
        # Of no file system: there may be none that can be written to.
        self._descriptor = os.memfd_create("dibs-metrics")
        os.ftruncate(self._descriptor, 8 * ROOM * processes)
        self._numbers = _mapped(self._descriptor)

    def __len__(self) -> int:
        return len(self._numbers) // ROOM

    def row(self, number: int) -> Row:
        """The row of the process with this number, from 0."""
        return self._numbers[number * ROOM : (number + 1) * ROOM]

    def __getstate__(self) -> object:
        # For a process that is spawned. One that is forked has it all.
        return DupFd(self._descriptor)

    def __setstate__(self, state: Any) -> None:
        self._descriptor = state.detach()
        self._numbers = _mapped(self._descriptor)


def _mapped(descriptor: int) -> Row:
    return memoryview(mmap.mmap(descriptor, 0)).cast("d")

"""A process whose clock is wrong: Debian's libfaketime, loaded before all else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDERS = ("/usr/lib", "/usr/local/lib")
SLEEPS = Path(__file__).with_name("sleeps")
RIGHT = "+0"


class WrongClock:
    """
    A clock that differs from the machine's by what a file says, and may jump.

    Only what shows a date is wrong. What measures how long something takes goes
    on as it should, as on a machine whose date was set.
    """

    def __init__(self, file: Path, offset: str = RIGHT) -> None:
        self._file = file
        self._library = library()
        self.jump_to(offset)

    def jump_to(self, offset: str) -> None:
        """Let it differ by so many seconds from now on: `+3600`."""
        # In one go: a reader never finds half of it.
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{offset}\n", encoding="ascii")
        fresh.chmod(0o644)
        fresh.rename(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """What a process has to be started with to have this clock."""
        return {
            "LD_PRELOAD": self._library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(SLEEPS), os.environ.get("PYTHONPATH")])
            ),
        }


def library() -> str:
    """The library's file; without it the test is skipped."""
    for folder in FOLDERS:
        for found in Path(folder).glob("*/faketime/libfaketimeMT.so.1"):
            return str(found)
    pytest.skip("install libfaketime")


def left_behind() -> set[Path]:
    """The library's files in shared memory, of whichever process."""
    return set(Path("/dev/shm").glob("*faketime_*"))

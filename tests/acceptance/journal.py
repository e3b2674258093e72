"""What handlers write down while they execute, outside of Dibs, and what holds them up."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.waiting import PATIENCE_SECONDS, eventually

JOURNAL = "ACCEPTANCE_JOURNAL"
GATES = "ACCEPTANCE_GATES"


@dataclass(frozen=True)
class Entry:
    """One line: what a handler did, for which step of which run, in which process."""

    what: str
    run_id: str
    idempotency_key: str
    fence: int
    executor: str
    pid: int


@dataclass(frozen=True)
class Journal:
    """One file that the handlers of all executors append to; a line is written in one go."""

    path: Path

    def write(self, entry: Entry) -> None:
        line = " ".join(str(value) for value in vars(entry).values()) + "\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    def entries(self, what: str = "began") -> list[Entry]:
        """The lines of one kind, in the order in which they were written."""
        if not self.path.exists():
            return []
        parts = [line.split() for line in self.path.read_text().splitlines()]
        entries = [Entry(p[0], p[1], p[2], int(p[3]), p[4], int(p[5])) for p in parts]
        return [entry for entry in entries if entry.what == what]

    def executions(self) -> Counter[str]:
        """How often a handler began, by run."""
        return Counter(entry.run_id for entry in self.entries())

    def wait_for(
        self, *run_ids: str, what: str = "began", within_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait until there is a line of this kind for each of these runs."""
        eventually(
            lambda: set(run_ids) <= {entry.run_id for entry in self.entries(what)},
            within_seconds=within_seconds,
            what=f"{what}: {run_ids}",
        )


@dataclass(frozen=True)
class Gates:
    """Named gates that handlers wait before; a gate is open when its file exists."""

    path: Path

    def open(self, name: str) -> None:
        (self.path / name).touch()

    def is_open(self, name: str) -> bool:
        return (self.path / name).exists()

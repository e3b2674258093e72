"""What a session found out about faults, as a file: with date, machine and seed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from tests.bench.machine import commit, hardware
from tests.chaos.outcomes import Outcome
from tests.chaos.size import IS_LONG
from tests.chaos.table import lines_of, markdown_table


@dataclass(frozen=True)
class Record:
    """
    One session, or several put together.

    Attributes:
        taken_at: When the session began; the latest of several.
        is_long: Whether it did as much as the list of faults says.
    """

    taken_at: datetime
    is_long: bool
    commit: str | None
    machine: dict[str, Any]
    outcomes: list[Outcome]

    def markdown(self) -> str:
        """The table, what it was taken on, and what the rows say besides."""
        return "\n".join(
            [
                markdown_table(self.outcomes),
                "",
                *(f"- {line}" for line in [self._taken_on(), *lines_of(self.outcomes)]),
            ]
        )

    def to_json(self) -> bytes:
        told = {
            "takenAt": self.taken_at.isoformat(timespec="seconds"),
            "long": self.is_long,
            "commit": self.commit,
            "machine": self.machine,
            "tests": [vars(outcome) for outcome in self.outcomes],
        }
        return orjson.dumps(told, option=orjson.OPT_INDENT_2)

    def _taken_on(self) -> str:
        seeds = sorted({str(one.seed) for one in self.outcomes if one.seed is not None})
        minutes = sum(one.seconds for one in self.outcomes) / 60
        return (
            f"{self.taken_at:%Y-%m-%d %H:%M} UTC, commit {self.commit}, "
            f"{'long' if self.is_long else 'short'}, {minutes:.0f} minutes, "
            f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}; {self.machine['cpu']}, "
            f"{self.machine['cores']} cores, {self.machine['kernel']},"
            f" Python {self.machine['python']}"
        )


def write_record(file: Path, outcomes: list[Outcome], *, began_at: float) -> None:
    """Write this session's figures: as a page when the file ends in .md, else as JSON."""
    record = Record(datetime.fromtimestamp(began_at, UTC), IS_LONG, commit(), hardware(), outcomes)
    if file.suffix == ".md":
        file.write_text(record.markdown() + "\n", encoding="utf-8")
    else:
        file.write_bytes(record.to_json())


def read_records(files: list[Path]) -> Record:
    """Several sessions as one; of a test that ran in more than one, the last file's counts."""
    read = [orjson.loads(file.read_bytes()) for file in files]
    latest = max(read, key=lambda one: str(one["takenAt"]))
    tests = {test["test"]: Outcome(**test) for one in read for test in one["tests"]}
    return Record(
        datetime.fromisoformat(latest["takenAt"]),
        all(one["long"] for one in read),
        latest["commit"],
        latest["machine"],
        list(tests.values()),
    )

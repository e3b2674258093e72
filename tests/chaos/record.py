"""What sessions found out about faults, as a file: with date, machine, commit and seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from tests.bench.machine import commit, hardware
from tests.chaos.outcomes import Outcome, rows_of
from tests.chaos.size import IS_LONG
from tests.chaos.table import lines_of, markdown_table


@dataclass(frozen=True)
class Session:
    """
    One session of tests.

    Attributes:
        taken_at: When it began.
        is_long: Whether it did as much as the list of faults says.
        seed: What its faults were drawn by.
    """

    taken_at: datetime
    is_long: bool
    commit: str | None
    seed: int
    machine: dict[str, Any]
    outcomes: list[Outcome]

    @staticmethod
    def from_json(told: dict[str, Any]) -> Session:
        return Session(
            datetime.fromisoformat(told["takenAt"]),
            told["long"],
            told["commit"],
            told["seed"],
            told["machine"],
            [Outcome(**test) for test in told["tests"]],
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "takenAt": self.taken_at.isoformat(timespec="seconds"),
            "long": self.is_long,
            "commit": self.commit,
            "seed": self.seed,
            "machine": self.machine,
            "tests": [vars(outcome) for outcome in self.outcomes],
        }

    def line(self) -> str:
        """What the figures were taken on, and of which rows."""
        minutes = sum(one.seconds for one in self.outcomes) / 60
        machine = self.machine
        return (
            f"{self.taken_at:%Y-%m-%d %H:%M} UTC, commit {self.commit}, "
            f"{'long' if self.is_long else 'short'}, {minutes:.0f} minutes, seed {self.seed}; "
            f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, "
            f"Python {machine['python']}: {', '.join(row.name for row in rows_of(self.outcomes))}"
        )


def session_of(outcomes: list[Outcome], *, seed: int, began_at: float) -> Session:
    """This session."""
    moment = datetime.fromtimestamp(began_at, UTC)
    return Session(moment, IS_LONG, commit(), seed, hardware(), outcomes)


def write_session(file: Path, session: Session) -> None:
    """Write its figures: as a page when the file ends in .md, else as JSON."""
    if file.suffix == ".md":
        file.write_text(markdown([session]) + "\n", encoding="utf-8")
    else:
        write_sessions(file, [session])


def write_sessions(file: Path, sessions: Sequence[Session]) -> None:
    told = [session.to_json() for session in sessions]
    file.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read_sessions(files: Iterable[Path]) -> list[Session]:
    """All sessions of these files; of a test that ran in several, the last one's outcome."""
    sessions = [
        Session.from_json(told) for file in files for told in orjson.loads(file.read_bytes())
    ]
    latest = {one.test: session for session in sessions for one in session.outcomes}
    kept = [
        replace(session, outcomes=[one for one in session.outcomes if latest[one.test] is session])
        for session in sessions
    ]
    return [session for session in kept if session.outcomes]


def markdown(sessions: Sequence[Session]) -> str:
    """The table of all of them, what it was taken on, and what the rows say besides."""
    outcomes = list(chain.from_iterable(session.outcomes for session in sessions))
    lines = [*(session.line() for session in sessions), *lines_of(outcomes)]
    return "\n".join([markdown_table(outcomes), "", *(f"- {line}" for line in lines)])

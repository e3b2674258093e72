"""What became of the tests of faults, row by row."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.chaos.fault import Core, Figures
from tests.chaos.rows import ROWS

CERTAINTY = 0.95
NONE = "–"
Line = tuple[str, ...]
HEADINGS: Line = (
    "fault",
    "what",
    "injected",
    "runs",
    "lost / doubled / stale / 500",
    "recovery p50, s",
    "max, s",
    "bound at 95 %",
    "passed",
)


@dataclass
class Outcome:
    """
    One test.

    Attributes:
        outcome: "passed", "failed" or "skipped".
        reason: Why it was skipped.
        figures: What it wrote down; None when it wrote nothing down.
        seed: What its session's faults were drawn by.
        seconds: How long it took.
    """

    test: str
    rows: list[str]
    outcome: str = "passed"
    reason: str = ""
    figures: Figures | None = None
    seed: int | None = None
    seconds: float = 0.0


@dataclass
class Row:
    """All tests of one fault, added up."""

    name: str
    outcomes: list[Outcome] = field(default_factory=list)

    def line(self) -> Line:
        """As the table has it."""
        core, seconds = self._core(), self._recovered()
        injected = sum(each["injected"] for each in self._figures())
        tried = core.runs if core else injected
        return (
            self.name,
            ROWS[self.name],
            f"{injected:,}" if injected else NONE,
            f"{core.runs:,}" if core else NONE,
            f"{core.lost} / {core.doubled} / {core.stale} / {core.answered_500}" if core else NONE,
            f"{statistics.median(seconds):.2f}" if seconds else NONE,
            f"{max(seconds):.2f}" if seconds else NONE,
            bound_of(tried) if tried and self._verdict() == "yes" else NONE,
            self._verdict(),
        )

    def notes(self) -> Iterator[str]:
        """What else there is to say, a line each."""
        for each in self.outcomes:
            yield from (f"{self.name}: {note}" for note in (each.figures or {}).get("notes", ()))
        for reason in sorted({each.reason for each in self.outcomes if each.reason}):
            yield f"{self.name}: not run here: {reason}"

    def _verdict(self) -> str:
        how = [each.outcome for each in self.outcomes]
        if "failed" in how:
            return "NO"
        return "yes" if "passed" in how else "not run"

    def _figures(self) -> list[Figures]:
        return [each.figures for each in self.outcomes if each.figures is not None]

    def _core(self) -> Core | None:
        found = [Core(**each["core"]) for each in self._figures() if each["core"]]
        if not found:
            return None
        total = Core()
        for one in found:
            total.add(one)
        return total

    def _recovered(self) -> list[float]:
        return [seconds for each in self._figures() for seconds in each["recovered"]]


def rows_of(outcomes: Iterable[Outcome]) -> list[Row]:
    """The rows that were tested, in the order of the list."""
    rows = {name: Row(name) for name in ROWS}
    for outcome in outcomes:
        for name in outcome.rows:
            rows[name].outcomes.append(outcome)
    return [row for row in rows.values() if row.outcomes]


def bound_of(tried: int) -> str:
    """What none in so many trials allows to say: the rate is below this."""
    highest = 1 - (1 - CERTAINTY) ** (1 / tried)
    digits, _, exponent = f"{highest:.0e}".partition("e")
    return f"0 of {tried:,}: below {digits}e{int(exponent)}"

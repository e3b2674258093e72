"""What a test of a fault did and saw, written down while it runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

Figures = dict[str, Any]


@dataclass
class Core:
    """
    What must be 0 under any fault, and of how many runs it was.

    Attributes:
        lost: Runs that were acknowledged and are neither over nor live.
        doubled: Runs with two outcomes, results or holders at once.
        stale: Writes that were taken under a lease that was not current.
        answered_500: Answers of 500.
    """

    runs: int = 0
    lost: int = 0
    doubled: int = 0
    stale: int = 0
    answered_500: int = 0

    @property
    def holds(self) -> bool:
        return not any((self.lost, self.doubled, self.stale, self.answered_500))

    def add(self, other: Core) -> None:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)

    def __str__(self) -> str:
        return (
            f"{self.lost} lost, {self.doubled} doubled, {self.stale} stale,"
            f" {self.answered_500} × 500"
        )


@dataclass
class Fault:
    """
    One test's figures.

    Each call writes them down at once, so that those of a test that fails later
    are seen as well.
    """

    figures: Figures = field(
        default_factory=lambda: {"injected": 0, "core": None, "recovered": [], "notes": []}
    )

    def injected(self, times: int = 1) -> None:
        """The fault happened so many times more."""
        self.figures["injected"] += times

    def recovered(self, *seconds: float) -> None:
        """So long it took each time until all was well again."""
        self.figures["recovered"] += [round(each, 3) for each in seconds]

    def core(
        self,
        *,
        runs: int,
        lost: int = 0,
        doubled: int = 0,
        stale: int = 0,
        answered_500: int = 0,
    ) -> None:
        """
        What became of so many more runs.

        Raises:
            AssertionError: Something of it is not 0.
        """
        core = Core(**(self.figures["core"] or {}))
        core.add(Core(runs, lost, doubled, stale, answered_500))
        self.figures["core"] = asdict(core)
        assert core.holds, f"of {core.runs} runs: {core}"

    def note(self, text: str) -> None:
        """A figure of this fault's own, in a few words."""
        self.figures["notes"].append(text)

"""Points at which a double can be held, so that a test finds it there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.compat.double.journal import REACHED, Journal
from tests.compat.double.runs import Run

LOOK_AGAIN_SECONDS = 0.01


class Point(Enum):
    """Moments in the life of a step, in their order."""

    DISPATCHED = "dispatched"
    BEFORE_ACTIVITY = "before-activity"
    BEFORE_AGENT = "before-agent"
    AFTER_AGENT = "after-agent"
    BEFORE_REPORT = "before-report"


@dataclass(frozen=True)
class Points:
    """
    Where one double waits until its gate is opened.

    Attributes:
        gates: A file here opens the gate of the point that it is named after.
    """

    held: frozenset[str]
    gates: Path
    journal: Journal

    def reach(self, point: Point, run: Run) -> None:
        named = {point.value, f"{point.value}@{run.step_name}"} & self.held
        for name in named:
            if self.is_open(name):
                continue
            self.journal.write(REACHED, point=name, run=run.id, step=run.step_index)
            while not self.is_open(name):
                time.sleep(LOOK_AGAIN_SECONDS)

    def is_open(self, name: str) -> bool:
        return (self.gates / name).exists()

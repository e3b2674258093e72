"""What the bench found: medians, ratios and verdicts."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tests.bench.figures import PRODUCT, Figure
from tests.bench.idle import Idleness
from tests.bench.outcome import Outcome
from tests.bench.sample import Sample, median_cpu_ms
from tests.bench.starts import Start
from tests.bench.targets import IDLE_QUERIES, START_P50, START_P99, Target

STATEMENT_CHARACTERS = 60


@dataclass(frozen=True)
class Rate:
    """One figure's samples for each side; place for place they were taken after each other."""

    figure: Figure
    samples: Mapping[str, list[Sample]]

    def median(self, side: str) -> float:
        """Runs per second."""
        return statistics.median(sample.runs_per_second for sample in self.samples[side])

    def ratio(self, side: str) -> float:
        """The product against one side of pgbench: the median of the repeats' ratios."""
        return statistics.median(
            ours.runs_per_second / theirs.runs_per_second
            for ours, theirs in zip(self.samples[PRODUCT], self.samples[side], strict=True)
        )

    def cpu_ms(self, side: str) -> dict[str, float]:
        """Milliseconds of one core for each run, by program; the median of each."""
        return median_cpu_ms(self.samples[side])


@dataclass(frozen=True)
class Reached:
    """A figure that has a target and is no ratio of rates."""

    name: str
    value: float
    target: Target
    beside: str

    @property
    def is_met(self) -> bool:
        return self.target.is_met(self.value)


@dataclass(frozen=True)
class Results:
    """
    Everything that one run of the bench found; a figure that was not asked for is empty.

    Attributes:
        starts: Every run that was created on an idle system.
        idle: Without executors first, then with all of them parked.
        ceiling: GET /healthz, as fast as the load generator and the server go.
        outcomes: What the load generator said of each sample, by figure.
    """

    taken_at: datetime
    commit: str | None
    machine: dict[str, str | int | None]
    settings: dict[str, int | bool]
    rates: list[Rate]
    starts: list[Start]
    idle: list[Idleness]
    ceiling: Outcome
    outcomes: Mapping[str, list[Outcome]]

    @property
    def cores(self) -> int:
        return int(self.machine["cores"] or 1)

    @property
    def generator_busy(self) -> float:
        """The largest share of one core that the load generator took beside its work."""
        said = [outcome.busy for outcomes in self.outcomes.values() for outcome in outcomes]
        return max(said, default=0.0)

    def begun_ms(self, percent: int) -> float:
        """The time within which so many percent of the runs began."""
        return _percentile([start.begun_ms for start in self.starts], percent)

    def answered_ms(self, percent: int) -> float:
        """The time within which so many percent of the creates were answered."""
        return _percentile([start.answered_ms for start in self.starts], percent)

    def reached(self) -> list[Reached]:
        """The figures that are no rates, as far as they were asked for."""
        found = []
        if self.starts:
            name = f"create to handler start, idle, {len(self.starts)} creates"
            for percent, target in ((50, START_P50), (99, START_P99)):
                beside = f"create answered: {self.answered_ms(percent):.1f} ms"
                found.append(Reached(f"{name}: p{percent}", self.begun_ms(percent), target, beside))
        if self.idle:
            nobody, *everybody = self.idle
            for one in everybody:
                refused = f"; {one.refused} claims refused" if one.refused else ""
                whose = "one token" if one.tokens == 1 else f"{one.tokens} tokens"
                found.append(
                    Reached(
                        f"queries/s of {one.executors} idle executors, {whose}",
                        one.caused(nobody),
                        IDLE_QUERIES,
                        f"{one.median:.1f} in all, {nobody.median:.1f} without executors;"
                        f" most: {_most(one, nobody)}{refused}",
                    )
                )
        return found


def _most(one: Idleness, nobody: Idleness) -> str:
    """The statement that the executors cause most often."""
    caused = one.more_than(nobody)
    if not caused:
        return "none"
    text, rate = caused[0]
    shown = text if len(text) <= STATEMENT_CHARACTERS else f"{text[:STATEMENT_CHARACTERS]}…"
    return f"{rate:.1f}/s {shown}"


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]

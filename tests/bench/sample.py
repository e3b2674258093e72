"""One side of a figure, taken once."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """
    How fast it was, and what it cost.

    Attributes:
        cpu_ms: Milliseconds of one core for each run, by program; empty where the
            kernel does not tell.
    """

    runs_per_second: float
    cpu_ms: Mapping[str, float]


def median_cpu_ms(samples: Sequence[Sample]) -> dict[str, float]:
    """The median of each program's processor time."""
    return {
        program: statistics.median(sample.cpu_ms[program] for sample in samples)
        for program in samples[0].cpu_ms
    }

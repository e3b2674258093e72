"""What a figure must reach."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """
    A bound that a figure must keep.

    Attributes:
        at_least: Whether more is better.
        unit: What people read behind it.
    """

    bound: float
    at_least: bool
    unit: str = ""

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}{self.unit}"


SINGLE_CLAIMS = Target(1.1, at_least=True)
SINGLE_CYCLES = Target(1.0, at_least=True)
BATCH_CLAIMS = Target(0.7, at_least=True)
DRAIN = Target(0.5, at_least=True)
START_P50 = Target(5, at_least=False, unit=" ms")
START_P99 = Target(15, at_least=False, unit=" ms")
IDLE_QUERIES = Target(2, at_least=False)
PGQUEUER = Target(0.7, at_least=True)
GRAPHILE_WORKER = Target(0.3, at_least=True)

"""How long claims took, and the pace at which they are asked."""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Percentiles of some claims, in milliseconds."""

    claims: int
    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return f"p50 {self.p50_ms:6.2f} ms, p99 {self.p99_ms:7.2f} ms of {self.claims:,} claims"


def times(took_seconds: Sequence[float]) -> Times:
    """What these say."""
    cuts = statistics.quantiles(took_seconds, n=100, method="inclusive")
    return Times(len(took_seconds), cuts[49] * 1_000, cuts[98] * 1_000)


def paced(per_second: float, seconds: float) -> Iterator[None]:
    """Come round at this rate; what came late is not made up for."""
    ends_at = time.monotonic() + seconds
    due_at = time.monotonic()
    while (now := time.monotonic()) < ends_at:
        if now < due_at:
            time.sleep(due_at - now)
        due_at = max(due_at, now - 1 / per_second) + 1 / per_second
        yield

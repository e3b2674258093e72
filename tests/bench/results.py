"""What the bench found: medians and ratios, as `bench.json` and the tables have them."""

import statistics
from dataclasses import dataclass
from datetime import datetime

from tests.bench.figures import BARE, OURS, PRODUCT
from tests.bench.load import Outcome

Json = dict[str, object]


@dataclass(frozen=True)
class Rate:
    """One figure's samples, in runs per second, for each side."""

    name: str
    samples: dict[str, list[float]]

    def median(self, side: str) -> float:
        return statistics.median(self.samples[side])

    def ratio(self, side: str) -> float:
        """The product against one side of pgbench."""
        return self.median(PRODUCT) / self.median(side)


@dataclass(frozen=True)
class Results:
    """
    Everything that one run of the bench found.

    Attributes:
        starts_ms: From create to handler start, every one of them.
        ceiling: GET /healthz, as fast as the load generator and the server go.
        claims: What the load generator said of each sample of claims.
    """

    taken_at: datetime
    commit: str | None
    machine: dict[str, str | int | None]
    settings: dict[str, int | bool]
    rates: list[Rate]
    starts_ms: list[float]
    ceiling: Outcome
    claims: list[Outcome]

    @property
    def generator_busy(self) -> float:
        """The largest share of one core that the load generator took while claiming."""
        return max(outcome.busy for outcome in self.claims)

    def start_ms(self, percent: int) -> float:
        """The time within which so many percent of the runs began."""
        return statistics.quantiles(self.starts_ms, n=100, method="inclusive")[percent - 1]

    def as_json(self) -> Json:
        return {
            "takenAt": self.taken_at.isoformat(timespec="seconds"),
            "commit": self.commit,
            "machine": self.machine,
            "settings": self.settings,
            "figures": [
                {
                    "name": rate.name,
                    "unit": "runs/s",
                    "medians": {side: round(rate.median(side), 1) for side in rate.samples},
                    "ratios": {side: round(rate.ratio(side), 3) for side in (OURS, BARE)},
                    "samples": {
                        side: [round(sample, 1) for sample in samples]
                        for side, samples in rate.samples.items()
                    },
                }
                for rate in self.rates
            ],
            "createToHandlerStartMs": {
                "p50": round(self.start_ms(50), 2),
                "p99": round(self.start_ms(99), 2),
                "creates": len(self.starts_ms),
            },
            "generator": {
                "healthzPerSecond": round(self.ceiling.requests_per_second, 1),
                "busyAtHealthz": round(self.ceiling.busy, 3),
                "claims": [
                    {
                        "requestsPerSecond": round(outcome.requests_per_second, 1),
                        "p50Ms": round(outcome.p50_ms, 2),
                        "p99Ms": round(outcome.p99_ms, 2),
                        "busy": round(outcome.busy, 3),
                    }
                    for outcome in self.claims
                ],
            },
        }

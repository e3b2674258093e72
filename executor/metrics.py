"""What one executor process counts, for Prometheus.

Of labels only so many values are possible: a type of step is one that has a handler here,
and what somebody else may call anything is `other` unless it is known.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from executor.deadline import monotonic_seconds

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4

KEPT_SECONDS = 1.0
"""Whoever reaches the face may ask: however many do, it is written once in this time."""

DURATIONS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0)
OTHER = "other"

_CLAIM_RESULTS = ("granted", "empty", "refused", "unanswered", "failed")
_REPORT_RESULTS = (
    "continue", "pending", "waiting", "scheduled", "finished", "failed", "aborted",
    "refused", "overdue", "unwritten",
)  # fmt: skip
_RELEASE_REASONS = (
    "timed-out", "abort-requested", "draining", "lease-lost", "own-deadline", "no-handler",
    "step-start-refused", "bad-dispatch", "report-refused", "in-flight-here",
)  # fmt: skip
_TRIGGER_CODES = (
    "triggered", "run_already_in_flight", "draining", "no_free_slot", "unauthenticated",
    "insufficient_scope", "rate_limited", "run_not_found", "run_not_claimable", "run_held",
    "run_over", "orchestrator_unavailable", "overloaded", "unavailable", "validation",
)  # fmt: skip


class Family:
    """A counter with one label, of which these values are possible, and `other`."""

    def __init__(
        self, name: str, told: str, label: str, values: Iterable[str], registry: CollectorRegistry
    ) -> None:
        counter = Counter(name, told, [label], registry=registry)
        self._counters = {value: counter.labels(value) for value in (*values, OTHER)}

    def add(self, value: str, amount: int = 1) -> None:
        (self._counters.get(value) or self._counters[OTHER]).inc(amount)


class _WithoutBirths(Collector):
    """Leaves out when each series was made: twice the lines, and of no use to anybody."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [one for one in family.samples if not one.name.endswith("_created")]
            yield family


class Metrics:
    """One process's metrics."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        build = Gauge("dibs_executor_build_info", "Always 1.", ["version"], registry=registry)
        build.labels(version("dibs")).set(1)
        self.claims = Family(
            "dibs_executor_claims", "Polls, by their answer.", "result", _CLAIM_RESULTS, registry
        )
        self.claim_repeats = Counter(
            "dibs_executor_claim_repeats",
            "Times that a poll was sent again, for nobody had answered.",
            registry=registry,
        )
        self.claimed_runs = Family(
            "dibs_executor_claimed_runs", "Runs that came.", "by", ("poll", "trigger"), registry
        )
        self.triggers = Family(
            "dibs_executor_triggers", "Triggers, by answer.", "code", _TRIGGER_CODES, registry
        )
        self.heartbeats = Family(
            "dibs_executor_heartbeats",
            "Renewals, by their answer.",
            "result",
            ("answered", "refused", "unanswered", "failed"),
            registry,
        )
        self.heartbeat_at = Gauge(
            "dibs_executor_last_heartbeat_timestamp_seconds",
            "When a renewal was answered last; there are some only while leases are held.",
            registry=registry,
        )
        self.lost = Counter(
            "dibs_executor_leases_lost", "Leases that a renewal found lost.", registry=registry
        )
        self.orphans = Counter(
            "dibs_executor_orphans_released",
            "Runs of lost claim replies that renewals freed.",
            registry=registry,
        )
        self.reports = Family(
            "dibs_executor_reports", "Reports, by answer.", "result", _REPORT_RESULTS, registry
        )
        self.report_repeats = Counter(
            "dibs_executor_report_repeats",
            "Reports that were sent again, for nobody had answered.",
            registry=registry,
        )
        self.releases = Family(
            "dibs_executor_releases",
            "Leases that were given back unfinished.",
            "reason",
            _RELEASE_REASONS,
            registry,
        )
        self._steps = Histogram(
            "dibs_executor_step_duration_seconds",
            "From a handler's beginning to its step's outcome.",
            ["type", "outcome"],
            buckets=DURATIONS,
            registry=registry,
        )
        self._step_of: dict[tuple[str, str], Histogram] = {}
        self._lock = threading.Lock()
        self._written: tuple[float, bytes] = (float("-inf"), b"")

    def note_step(self, step_type: str, outcome: str, seconds: float) -> None:
        """
        A step has an outcome.

        Args:
            step_type: One that has a handler here.
        """
        histogram = self._step_of.get((step_type, outcome))
        if histogram is None:
            histogram = self._step_of[step_type, outcome] = self._steps.labels(step_type, outcome)
        histogram.observe(seconds)

    def gauge(self, name: str, told: str, value: Callable[[], float]) -> None:
        """Tell this whenever somebody asks."""
        Gauge(name, told, registry=self._registry).set_function(value)

    def exposition(self) -> bytes:
        """All of it as text, as of a second ago at most."""
        with self._lock:
            written_at, text = self._written
            if monotonic_seconds() - written_at >= KEPT_SECONDS:
                text = generate_latest(_WithoutBirths(self._registry))
                self._written = (monotonic_seconds(), text)
            return text

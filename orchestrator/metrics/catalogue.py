"""Every metric that an orchestrator counts by itself, declared in one place.

Names follow the conventions of Prometheus: base units, `_total` for what only grows. Of
labels only a few values are possible, and all are named here. What the database knows is
no process's: it is told beside these, from the census (`api/census_metrics.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from orchestrator.metrics.meter import Meter
from orchestrator.metrics.series import Counter, Histogram

# Seconds that a request or a transaction takes; the last bound is the longest wait of a poll.
DURATIONS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
# Seconds that a run waits until it is claimed: from at once to a day.
WAITS: Final = (0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0)
STATUSES: Final = ("2xx", "3xx", "4xx", "5xx")
TOGETHER: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)

_CLAIMS: Final = (
    *(("poll", result) for result in ("granted", "empty", "replayed", "out-of-service")),
    # What is not granted by id is refused: a problem.
    *(("id", result) for result in ("granted", "replayed")),
)
_OUTCOMES: Final = ("success", "error", "unknown", "awaiting-input", "later")
_BECAME: Final = (
    "continue", "pending", "waiting", "scheduled", "finished", "failed", "aborted",
    "refused", "replayed",
)  # fmt: skip


class Pool(StrEnum):
    """The pools of connections of one process."""

    WORK = "work"
    LEASES = "leases"
    ACCESS = "access"


class Desk(StrEnum):
    """What is gathered, each kind by itself."""

    CLAIMS = "claims"
    CREATES = "creates"
    REPORTS = "reports"
    RENEWALS = "renewals"
    RELEASES = "releases"


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is counted of the transactions that several requests share."""

    together: Histogram
    seconds: Histogram

    def note(self, requests: int, seconds: float) -> None:
        self.together.note(requests)
        self.seconds.note(seconds)


class Metrics:
    """What the desks of one process and its transactions count."""

    def __init__(self, meter: Meter) -> None:
        self.claims = meter.counters_of(
            "dibs_claims_total",
            "Claims that were answered, by poll and by a run's id, and what they got.",
            ("by", "result"),
            _CLAIMS,
        )
        over = meter.counters(
            "dibs_runs_over_total",
            "Runs that came to an end, whatever ended them.",
            {"state": ("finished", "failed", "aborted")},
        )
        self.happened: Mapping[str, Counter] = {
            "created": meter.counter("dibs_runs_created_total", "Runs that were created."),
            "claimed": meter.counter(
                "dibs_claimed_runs_total", "Runs that were leased to an executor."
            ),
            "retried": meter.counter(
                "dibs_runs_retried_total",
                "Runs that an error sent into back-off, or that somebody had retried.",
            ),
            "expired": meter.counter(
                "dibs_leases_expired_total",
                "Leases that ran out, or whose executor was replaced, and were taken back.",
            ),
            **{state: counter for (state,), counter in over.items()},
        }
        """What also is counted by queue, elsewhere (`store/tally.py`)."""
        self.claim_commits = meter.counter(
            "dibs_claim_commits_total", "Transactions that leased runs; one serves several claims."
        )
        self.run_waits = meter.histogram(
            "dibs_run_wait_seconds",
            "From a run's being due to its first lease; of many that come at once, of some.",
            WAITS,
        )
        self.reports = meter.counters(
            "dibs_reports_total",
            "Reports of steps by what they told, and what became of the run.",
            {"outcome": _OUTCOMES, "result": _BECAME},
            shows_zeros=False,
        )
        self.renewals = meter.counters(
            "dibs_lease_renewals_total",
            "Leases that a renewal named; lost: not the caller's any more.",
            {"result": ("renewed", "lost")},
        )
        self.releases = meter.counters(
            "dibs_lease_releases_total",
            "Leases that were to be given back; lost: not the caller's any more.",
            {"result": ("released", "lost")},
        )
        self.orphans = meter.counter(
            "dibs_orphans_released_total", "Leases of lost claim replies that were freed."
        )
        self.keeper_ticks = meter.counters(
            "dibs_keeper_ticks_total",
            "Ticks of the keeper; idle: another process has just done it.",
            {"result": ("worked", "idle", "failed")},
        )
        self.fired = meter.counter("dibs_schedules_fired_total", "Firings of schedules.")
        self.pruned = meter.counter("dibs_runs_pruned_total", "Over runs that were removed.")
        self.transactions = meter.counters(
            "dibs_database_transactions_total",
            "Transactions that were committed, those that only read among them; unknown: COMMIT"
            " was not answered; repeated: begun again after a deadlock or a dead connection.",
            {"pool": Pool, "result": ("committed", "unknown", "repeated")},
        )
        together = meter.histograms(
            "dibs_gathered_requests",
            "Requests that shared one transaction.",
            TOGETHER,
            {"desk": Desk},
        )
        seconds = meter.histograms(
            "dibs_gathered_transaction_seconds",
            "From taking the requests that share a transaction to its COMMIT.",
            DURATIONS,
            {"desk": Desk},
        )
        self.gathered = {desk: Gathered(together[(desk,)], seconds[(desk,)]) for desk in Desk}


@dataclass(frozen=True, slots=True)
class RouteLabels:
    """
    What a route is told as.

    Attributes:
        kind: Routes of a kind have their durations told together.
    """

    method: str
    route: str
    kind: str


class RequestMetrics:
    """What is counted of requests, whichever route they are for, and of problems."""

    def __init__(
        self, meter: Meter, *, routes: Iterable[RouteLabels], codes: Iterable[str]
    ) -> None:
        """
        Args:
            codes: Of all problems there are.
        """
        routes = list(routes)
        self.requests = meter.counters_of(
            "dibs_http_requests_total",
            "Requests that were answered, by route and class of status.",
            ("method", "route", "status"),
            [(each.method, each.route, status) for each in routes for status in STATUSES],
            shows_zeros=False,
        )
        self.seconds = meter.histograms(
            "dibs_http_request_duration_seconds",
            "From a request's head to its answer; a claim's holds its wait for runs.",
            DURATIONS,
            {"kind": sorted({each.kind for each in routes})},
        )
        self.problems = meter.counters(
            "dibs_problems_total",
            "Problems that were answered, those of a batch's items among them, by code.",
            {"code": sorted(codes)},
        )


class Levels:
    """How things stand in one process; it says so each second."""

    def __init__(self, meter: Meter) -> None:
        self.workers = meter.gauge("dibs_workers", "Server processes that serve.")
        self.parked = meter.gauge("dibs_parked_claims", "Claims that wait for runs.")
        self.parked_limit = meter.gauge(
            "dibs_parked_claims_limit", "How many may; whoever finds no place asks again."
        )
        self.waiting_claims = meter.gauge(
            "dibs_waiting_claims", "Claims that wait for the transaction before theirs."
        )
        self.bell_listens = meter.gauge(
            "dibs_bell_listening", "Processes that hear the rings of the others."
        )
        self.draining = meter.gauge("dibs_draining", "Processes that are about to end.")
        self.in_use = meter.gauges(
            "dibs_database_connections_in_use",
            "Connections that a transaction has.",
            {"pool": Pool},
        )
        self.limit = meter.gauges(
            "dibs_database_connections_limit", "Connections there may be.", {"pool": Pool}
        )
        self.waiting = meter.gauges(
            "dibs_database_connections_waiting",
            "Transactions that wait for a connection.",
            {"pool": Pool},
        )
        self.cpu_seconds = meter.worker_seconds(
            "dibs_worker_cpu_seconds_total", "Processor time of a server process."
        )
        self.resident_bytes = meter.gauge(
            "dibs_worker_resident_memory_bytes", "Its resident memory.", of_worker=True
        )
        self.open_files = meter.gauge(
            "dibs_worker_open_fds", "Files and sockets that it has open.", of_worker=True
        )
        self.started_at = meter.gauge(
            "dibs_worker_start_time_seconds", "When it began, as seconds since 1970.",
            of_worker=True,
        )  # fmt: skip

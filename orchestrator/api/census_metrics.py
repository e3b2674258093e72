"""The census, as Prometheus is told: what the database knows, so once and not for each process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from orchestrator.desk.census import Census, QueueCensus
from orchestrator.lifecycle import RunState

# Queues that are told by name: those that are set or served first, then the deepest.
NAMED_QUEUES: Final = 200
# What the others are told as, together; no queue can be called so.
OTHERS: Final = "(others)"
# Finished runs are counted by nobody here: `dibs_reports_total` says how fast they come.
_STATES: Final = tuple(state for state in RunState if state != RunState.FINISHED)


@dataclass(frozen=True, slots=True)
class _Told:
    """
    A gauge of each queue.

    Attributes:
        of: Its value; None: there is none.
        together: What it is of several queues.
    """

    name: str
    help: str
    of: Callable[[QueueCensus], float | None]
    together: Callable[[Sequence[float]], float] = sum


def _max_concurrency(queue: QueueCensus) -> float | None:
    return queue.settings.max_concurrency if queue.settings else None


_OF_QUEUES: Final = (
    _Told(
        "dibs_oldest_pending_seconds",
        "For how long the oldest pending run of a queue has been due.",
        lambda queue: queue.oldest_pending_seconds or 0.0,
        max,
    ),
    _Told(
        "dibs_gated_runs",
        "Pending runs without a place of their concurrencyKey.",
        lambda queue: queue.gated.number,
    ),
    _Told("dibs_leases", "Leases that executors hold.", lambda queue: queue.leases.number),
    _Told(
        "dibs_overdue_leases",
        "Of them, those that have run out and were not taken back yet.",
        lambda queue: queue.leases_expired.number,
    ),
    _Told(
        "dibs_executors_wanted",
        "Executors that a queue could keep busy now; also while it has none.",
        lambda queue: queue.wanted_executors,
    ),
    _Told(
        "dibs_queue_executors",
        "Executors that serve a queue; who serves several counts in each.",
        lambda queue: queue.fleet.executors,
    ),
    _Told("dibs_queue_slots", "Their slots.", lambda queue: queue.fleet.slots),
    _Told("dibs_queue_slots_busy", "Of those, how many are taken.", lambda q: q.fleet.slots_busy),
    _Told(
        "dibs_queue_paused",
        "Whether nothing is claimed from a queue; of several: how many are paused.",
        lambda queue: queue.settings is not None and queue.settings.paused,
    ),
    _Told(
        "dibs_queue_max_concurrency",
        "Leases that a queue allows at once; only of queues that limit them.",
        _max_concurrency,
    ),
)


def of_census(census: Census, queue_patterns: tuple[str, ...]) -> Iterator[Metric]:
    """
    Depth, age, leases and executors of each queue.

    Args:
        queue_patterns: Of those that a token covers; the fleet is told as a whole.
    """
    by_label = _by_label(census.covered(queue_patterns))
    yield _runs(by_label)
    yield _capped(by_label)
    for told in _OF_QUEUES:
        family = GaugeMetricFamily(told.name, told.help, labels=("queue",))
        for label, queues in by_label.items():
            values = [value for queue in queues if (value := told.of(queue)) is not None]
            if values:
                family.add_metric((label,), told.together(values))
        yield family
    yield GaugeMetricFamily(
        "dibs_executors_serving", "Executors that serve, each once.", census.fleet.executors
    )
    yield GaugeMetricFamily("dibs_slots", "Their slots.", census.fleet.slots)
    yield GaugeMetricFamily(
        "dibs_slots_busy", "Of those, how many are taken.", census.fleet.slots_busy
    )
    yield GaugeMetricFamily(
        "dibs_census_age_seconds", "How old these counts of runs are.", census.age_seconds
    )
    yield GaugeMetricFamily(
        "dibs_census_duration_seconds", "How long the counting took.", census.cost_seconds
    )


def _by_label(covered: Sequence[QueueCensus]) -> Mapping[str, Sequence[QueueCensus]]:
    used = sorted((queue for queue in covered if queue.is_in_use), key=_rank)
    told = {queue.name: [queue] for queue in used[:NAMED_QUEUES]}
    return told | ({OTHERS: used[NAMED_QUEUES:]} if len(used) > NAMED_QUEUES else {})


def _rank(queue: QueueCensus) -> tuple[bool, int, str]:
    is_kept = queue.settings is not None or queue.fleet.executors > 0
    depth = queue.count(RunState.PENDING).number + queue.leases.number
    return (not is_kept, -depth, queue.name)


def _runs(by_label: Mapping[str, Sequence[QueueCensus]]) -> Metric:
    family = GaugeMetricFamily(
        "dibs_runs",
        "Runs by the queue where they are claimed, and state; counted to a bound.",
        labels=("queue", "state"),
    )
    for label, queues in by_label.items():
        for state in _STATES:
            number = sum(queue.count(state).number for queue in queues)
            family.add_metric((label, state), number)
    return family


def _capped(by_label: Mapping[str, Sequence[QueueCensus]]) -> Metric:
    family = GaugeMetricFamily(
        "dibs_runs_capped",
        "1: there are more of these runs than `dibs_runs` says.",
        labels=("queue", "state"),
    )
    for label, queues in by_label.items():
        for state in _STATES:
            if any(queue.count(state).is_capped for queue in queues):
                family.add_metric((label, state), 1)
    return family

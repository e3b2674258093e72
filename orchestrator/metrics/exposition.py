"""What Prometheus is told: the rows of all processes, added up."""

from __future__ import annotations

import itertools
import time
from array import array
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from orchestrator.metrics.meter import PUBLISHED_AT, Family, Kind, Meter
from orchestrator.metrics.rows import Row

# The version of the text format that every Prometheus and everything like it reads.
MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# A process that has said nothing for so long is gone, or cannot say how things are.
SILENT_SECONDS: Final = 5.0

# In quotes: Python 3.11 knows no `array[float]` at run time.
Numbers: TypeAlias = "array[float]"


def exposition(*metrics: Iterable[Metric]) -> bytes:
    """Metrics as text; each name once."""
    return generate_latest(_Collected(list(itertools.chain(*metrics))))


def counted(meter: Meter) -> Iterator[Metric]:
    """What the processes of this server have counted, and what they say of themselves."""
    rows = [array("d", row) for row in _rows(meter)]
    now = time.monotonic()
    speaking = {
        number: row
        for number, row in enumerate(rows)
        if row[PUBLISHED_AT] > 0.0 and now - row[PUBLISHED_AT] < SILENT_SECONDS
    }
    for family in meter.families:
        if family.of_worker:
            yield _of_workers(family, speaking)
        elif family.kind is Kind.COUNTER:
            yield _counter(family, rows)
        elif family.kind is Kind.HISTOGRAM:
            yield _histogram(family, rows)
        else:
            yield _gauge(family, list(speaking.values()))


class _Collected(Collector):
    """What prometheus_client asks for metrics."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def _rows(meter: Meter) -> list[Row]:
    if meter.rows is None:
        return [meter.row]
    return [meter.rows.row(number) for number in range(len(meter.rows))]


def _counter(family: Family, rows: list[Numbers]) -> Metric:
    told = CounterMetricFamily(family.name, family.help, labels=family.labels)
    for labelled, place in family.places.items():
        total = sum(row[place] for row in rows)
        if total or family.shows_zeros:
            told.add_metric(labelled, total)
    return told


def _gauge(family: Family, rows: list[Numbers]) -> Metric:
    told = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for labelled, place in family.places.items():
        told.add_metric(labelled, sum(row[place] for row in rows))
    return told


def _of_workers(family: Family, speaking: dict[int, Numbers]) -> Metric:
    kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    told = kind(family.name, family.help, labels=("worker",))
    (place,) = family.places.values()
    for number, row in speaking.items():
        told.add_metric((str(number),), row[place])
    return told


def _histogram(family: Family, rows: list[Numbers]) -> Metric:
    told = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    bounds = [*map(str, family.bounds), "+Inf"]
    for labelled, place in family.places.items():
        buckets = range(place + 1, place + 1 + len(bounds))
        totals = itertools.accumulate(sum(row[bucket] for row in rows) for bucket in buckets)
        told.add_metric(
            labelled,
            list(zip(bounds, totals, strict=True)),
            sum_value=sum(row[place] for row in rows),
        )
    return told

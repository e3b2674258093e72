"""The last minute: what was counted since, by all processes, and nothing of what was before."""

import math
import time

import pytest

from orchestrator.metrics import minute as minute_module
from orchestrator.metrics.meter import PUBLISHED_AT, Meter
from orchestrator.metrics.minute import MINUTE_SECONDS, STEP_SECONDS, LastMinute


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self):
        self.at = 1_000.0

    def monotonic(self):
        return self.at


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(minute_module, "time", clock)
    return clock


@pytest.fixture
def meter():
    return Meter()


def test_what_was_counted_before_is_left_out(meter, clock):
    counter = meter.counters("a_total", "Told.", {"by": ("one", "other")})
    last_minute = LastMinute(meter)
    counter[("one",)].add(5)
    last_minute.note()
    clock.at += 10
    counter[("one",)].add(2)
    counter[("other",)].add(3)
    minute = last_minute.now()

    assert minute.seconds == 10
    assert minute.number("a_total") == 5
    assert minute.number("a_total", by="one") == 2
    assert minute.by("by", "a_total") == {"other": 3, "one": 2}


def test_it_reaches_about_a_minute_back(meter, clock):
    counter = meter.counter("a_total", "Told.")
    last_minute = LastMinute(meter)
    for _ in range(1_000):
        clock.at += 1
        counter.add()
        last_minute.note()
    minute = last_minute.now()

    assert MINUTE_SECONDS <= minute.seconds <= MINUTE_SECONDS + STEP_SECONDS
    assert minute.number("a_total") == minute.seconds


def test_who_looks_after_a_long_time_is_told_since_when(meter, clock):
    counter = meter.counter("a_total", "Told.")
    last_minute = LastMinute(meter)
    last_minute.note()
    counter.add(7)
    clock.at += 3_600
    minute = last_minute.now()

    assert (minute.seconds, minute.number("a_total")) == (3_600, 7)


def test_a_gauge_stands_as_it_is(meter, clock):
    gauges = meter.gauges("a", "Told.", {"pool": ("work", "leases")})
    meter.row[PUBLISHED_AT] = time.monotonic()
    last_minute = LastMinute(meter)
    gauges[("work",)].put(3)
    gauges[("leases",)].put(1)
    last_minute.note()
    gauges[("work",)].put(2)
    clock.at += 1

    assert last_minute.now().standing("a", pool="work") == 2
    assert last_minute.now().standing("a") == 3


def test_the_bound_that_most_values_are_not_above(meter, clock):
    histogram = meter.histogram("a_seconds", "Told.", (0.1, 1.0))
    last_minute = LastMinute(meter)
    histogram.note_each([0.5] * 1_000)
    last_minute.note()
    assert last_minute.now().at_most("a_seconds", 0.5) is None

    histogram.note_each([0.05] * 98 + [0.5, 5.0])
    minute = last_minute.now()

    assert minute.at_most("a_seconds", 0.5) == 0.1
    assert minute.at_most("a_seconds", 0.99) == 1.0
    assert minute.at_most("a_seconds", 1.0) == math.inf

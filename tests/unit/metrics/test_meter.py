"""What processes count, added up."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest

from orchestrator.metrics.exposition import counted, exposition
from orchestrator.metrics.meter import PUBLISHED_AT, Meter
from orchestrator.metrics.rows import ROOM, Rows
from tests.scraped import Scraped

PATIENCE_SECONDS = 60


class Declared:
    """A few metrics, as a process declares them."""

    def __init__(self, meter):
        self.meter = meter
        self.claims = meter.counters("t_claims_total", "Claims.", {"result": ("granted", "empty")})
        self.seconds = meter.histogram("t_seconds", "Durations.", (0.1, 1.0))
        self.parked = meter.gauge("t_parked", "Parked.")
        self.memory = meter.gauge("t_memory_bytes", "Memory.", of_worker=True)
        self.rare = meter.counters("t_rare_total", "Rare.", {"code": "ab"}, shows_zeros=False)

    def scrape(self):
        return Scraped(exposition(counted(self.meter)).decode())

    def publish(self, *, seconds_ago=0.0):
        self.meter.row[PUBLISHED_AT] = time.monotonic() - seconds_ago


def process(rows, number):
    return Declared(Meter(rows.row(number), rows))


def count_in_a_process(rows, number):
    metrics = process(rows, number)
    for _ in range(1_000):
        metrics.claims[("granted",)].add()
    metrics.seconds.note(0.5)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes_however_they_are_started_count_into_one_sum(method):
    rows = Rows(3)
    processes = [
        multiprocessing.get_context(method).Process(target=count_in_a_process, args=(rows, number))
        for number in (1, 2)
    ]
    for one in processes:
        one.start()
    for one in processes:
        one.join(PATIENCE_SECONDS)
    here = process(rows, 0)
    here.claims[("granted",)].add(5)

    scraped = here.scrape()

    assert scraped.sum("t_claims_total", result="granted") == 2_005
    assert scraped.sum("t_seconds_count") == 2
    assert scraped.sum("t_seconds_sum") == 1.0


def test_threads_of_a_process_lose_no_count():
    metrics = Declared(Meter())

    def count():
        for _ in range(20_000):
            metrics.claims[("empty",)].add()
            metrics.seconds.note(0.05)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)

    assert metrics.scrape().sum("t_claims_total", result="empty") == 80_000
    assert metrics.scrape().sum("t_seconds_count") == 80_000


def test_a_process_that_takes_the_place_of_another_counts_on():
    rows = Rows(1)
    process(rows, 0).claims[("granted",)].add(7)

    successor = process(rows, 0)
    successor.claims[("granted",)].add(1)

    assert successor.scrape().sum("t_claims_total", result="granted") == 8


def test_gauges_are_the_sum_over_the_processes_that_speak():
    rows = Rows(3)
    here, there, silent = (process(rows, number) for number in range(3))
    for metrics in (here, there, silent):
        metrics.parked.put(3)
        metrics.memory.put(1_000)
        metrics.claims[("granted",)].add()
    here.publish()
    there.publish()
    silent.publish(seconds_ago=60)

    scraped = here.scrape()

    assert scraped.sum("t_parked") == 6
    assert scraped.labelled("t_memory_bytes", "worker") == {"0", "1"}
    assert scraped.sum("t_claims_total", result="granted") == 3


def test_a_value_on_a_bound_is_within_it_and_what_is_beyond_all_is_told():
    metrics = Declared(Meter())

    metrics.seconds.note_each([0.1, 0.2, 1.0, 50.0])

    scraped = metrics.scrape()
    assert scraped.sum("t_seconds_bucket", le="0.1") == 1
    assert scraped.sum("t_seconds_bucket", le="1.0") == 3
    assert scraped.sum("t_seconds_bucket", le="+Inf") == 4
    assert scraped.sum("t_seconds_count") == 4
    assert scraped.sum("t_seconds_sum") == pytest.approx(51.3)


def test_what_may_come_is_told_as_zero_and_what_is_rare_only_when_it_came():
    metrics = Declared(Meter())
    metrics.rare[("b",)].add()

    scraped = metrics.scrape()

    assert scraped.labelled("t_claims_total", "result") == {"granted", "empty"}
    assert scraped.labelled("t_rare_total", "code") == {"b"}


def test_more_than_a_row_has_room_for_is_refused_when_it_is_declared():
    meter = Meter()

    with pytest.raises(RuntimeError, match="t_many_total"):
        meter.counters("t_many_total", "Many.", {"n": map(str, range(ROOM))})

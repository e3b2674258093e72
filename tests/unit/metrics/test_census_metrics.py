"""What is told of queues: by name of some, of all others together."""

import time
from datetime import UTC, datetime

from orchestrator.api.census_metrics import NAMED_QUEUES, OTHERS, of_census
from orchestrator.desk.census import Census, QueueCensus
from orchestrator.metrics.exposition import exposition
from orchestrator.store.census import Count
from orchestrator.store.queues import QueueSettings
from orchestrator.store.serving import Fleet
from tests.scraped import Scraped

EVERY_QUEUE = ("*",)


def told(*queues, patterns=EVERY_QUEUE):
    census = Census(
        datetime.now(UTC), time.monotonic(), 0.01, {one.name: one for one in queues}, Fleet(2, 8, 3)
    )
    return Scraped(exposition(of_census(census, patterns)).decode())


def pending(name, number, **parts):
    return QueueCensus(name, {"pending": Count(number)}, **parts)


def test_however_many_queues_there_are_few_are_told_by_name_and_no_run_is_left_out():
    scraped = told(*(pending(f"hostile-{number}", 1) for number in range(10_000)))

    assert len(scraped.labelled("dibs_runs", "queue")) == NAMED_QUEUES + 1
    assert scraped.sum("dibs_runs", state="pending") == 10_000
    assert scraped.sum("dibs_runs", state="pending", queue=OTHERS) == 10_000 - NAMED_QUEUES


def test_queues_that_are_served_or_set_are_told_by_name_before_deeper_ones():
    made_up = [pending(f"a-{number}", 50) for number in range(NAMED_QUEUES)]
    served = pending("served", 1, fleet=Fleet(1, 4, 0))
    settled = pending("settled", 0, settings=QueueSettings("settled", paused=True))

    scraped = told(*made_up, served, settled)

    assert {"served", "settled", OTHERS} <= scraped.labelled("dibs_runs", "queue")
    assert scraped.sum("dibs_queue_paused", queue="settled") == 1


def test_a_token_is_told_of_the_queues_that_it_covers_only():
    scraped = told(pending("billing.eu", 2), pending("secret", 3), patterns=("billing.*",))

    assert scraped.labelled("dibs_runs", "queue") == {"billing.eu"}
    assert "secret" not in scraped.text


def test_a_count_that_went_no_further_says_so():
    scraped = told(QueueCensus("deep", {"pending": Count(10_000, is_capped=True)}))

    assert scraped.sum("dibs_runs", queue="deep", state="pending") == 10_000
    assert scraped.sum("dibs_runs_capped", queue="deep", state="pending") == 1


def test_executors_are_wanted_also_where_there_is_none():
    scraped = told(pending("q", 10, slots_each=4.0))

    assert scraped.sum("dibs_executors_wanted", queue="q") == 3
    assert scraped.sum("dibs_queue_executors", queue="q") == 0
    assert not scraped.labelled("dibs_queue_max_concurrency", "queue")
    assert scraped.sum("dibs_slots") == 8

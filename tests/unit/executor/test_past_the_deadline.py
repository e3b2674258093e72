"""Past a lease's own deadline nothing is written of it: not what is queued, not a repeat."""

import queue
import threading

import httpx2
import pytest

from executor.client import Identity, Orchestrator
from executor.deadline import margin_seconds, monotonic_seconds
from executor.leases import HeldLeases
from executor.metrics import Metrics
from executor.releaser import Release, Releaser
from executor.reporter import Overdue, Report, Reporter, report_text

WAIT_SECONDS = 10
SOON_SECONDS = 0.3


@pytest.fixture
def leases():
    return HeldLeases()


@pytest.fixture
def orchestrator(answers):
    identity = Identity(token="dibs_k_secret", instance="e1", session="s")
    orchestrator = Orchestrator(answers.url, identity, httpx2.create_ssl_context())
    yield orchestrator
    orchestrator.close()


@pytest.fixture
def reporter(orchestrator, leases):
    reporter = Reporter(orchestrator, leases, Metrics())
    reporter.start()
    return reporter


@pytest.fixture
def releaser(orchestrator):
    releaser = Releaser(orchestrator, Metrics())
    releaser.start()
    return releaser


@pytest.fixture
def hold(leases, dispatch):
    """Hold a lease of 10 s that has so long to go before its own deadline."""

    def hold(seconds_left):
        deadline_after = 10 - margin_seconds(10)
        return leases.hold(
            dispatch(lease_seconds=10), monotonic_seconds() + seconds_left - deadline_after
        )

    return hold


def report(reporter, lease):
    """Submit a report; what becomes of it comes in the queue."""
    told = queue.SimpleQueue()
    text = report_text(lease, 0, {"status": "success", "output": None})
    reporter.submit(Report(lease, text, chain=True, on_answer=told.put))
    return told


def test_a_report_that_is_queued_past_the_deadline_is_not_sent(answers, reporter, hold):
    told = report(reporter, hold(-0.001))

    assert told.get(timeout=WAIT_SECONDS) == Overdue()
    assert answers.bodies("reports") == []


def test_a_report_is_not_repeated_past_the_deadline(answers, reporter, hold):
    lease = hold(SOON_SECONDS)
    received_at = []

    def reports(body):
        received_at.append(monotonic_seconds())
        return 503, {}

    answers.say("reports", reports)

    assert report(reporter, lease).get(timeout=WAIT_SECONDS) == Overdue()
    assert len(received_at) >= 1
    # What was sent before the deadline may arrive a moment after it, within the margin.
    assert max(received_at) < lease.deadline + margin_seconds(10)


def test_of_a_batch_only_what_is_past_its_deadline_is_left_out(answers, reporter, hold):
    past, good = hold(-0.001), hold(5)
    told = [report(reporter, past), report(reporter, good)]

    assert told[0].get(timeout=WAIT_SECONDS) == Overdue()
    assert told[1].get(timeout=WAIT_SECONDS).status == "finished"
    sent = [one["leaseId"] for body in answers.bodies("reports") for one in body["reports"]]
    assert sent == [good.id]


def test_a_release_past_the_deadline_is_not_sent_and_yet_settled(answers, releaser, hold):
    settled = threading.Event()
    releaser.submit(Release(hold(-0.001), "draining", on_answer=settled.set))

    assert settled.wait(WAIT_SECONDS)
    assert answers.bodies("release") == []


def test_a_release_is_not_repeated_past_the_deadline(answers, releaser, hold):
    answers.say("release", {}, 503)
    settled = threading.Event()
    releaser.submit(Release(hold(SOON_SECONDS), "draining", on_answer=settled.set))

    assert settled.wait(WAIT_SECONDS)
    assert len(answers.bodies("release")) >= 1
    assert len(set(answers.request_ids("release"))) == 1


def test_reports_and_releases_keep_their_id_over_their_repeats(answers, reporter, releaser, hold):
    answers.say("reports", {}, 503).then("reports", b"garbage")
    answers.then("reports", {"results": [{"runId": "r", "status": "finished"}]})
    answers.say("release", {}, 429).then("release", {"released": [], "lost": []})
    settled = threading.Event()

    report(reporter, hold(9)).get(timeout=WAIT_SECONDS)
    releaser.submit(Release(hold(9), "draining", on_answer=settled.set))

    assert settled.wait(WAIT_SECONDS)
    reported, released = answers.request_ids("reports"), answers.request_ids("release")
    assert (len(reported), len(set(reported))) == (3, 1)
    assert (len(released), len(set(released))) == (2, 1)
    assert set(reported).isdisjoint(released)

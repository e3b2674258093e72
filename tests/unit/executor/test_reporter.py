"""The reporter: when it sends at once, and when it waits for more."""

import queue
import threading

import httpx2
import pytest

from executor.client import Identity, Orchestrator
from executor.deadline import monotonic_seconds
from executor.leases import HeldLeases
from executor.metrics import Metrics
from executor.reporter import Report, Reporter, report_text

WAIT_SECONDS = 10


def finished(body):
    """Take every report for the end of its run."""
    reports = body["reports"]
    return 200, {"results": [{"runId": one["runId"], "status": "finished"} for one in reports]}


@pytest.fixture
def leases():
    return HeldLeases()


@pytest.fixture
def reporter(answers, leases):
    identity = Identity(token="dibs_k_secret", instance="e1", session="s")
    orchestrator = Orchestrator(answers.url, identity, httpx2.create_ssl_context())
    reporter = Reporter(orchestrator, leases, Metrics())
    reporter.start()
    yield reporter
    orchestrator.close()


@pytest.fixture
def hold(leases, dispatch):
    """Hold one more lease."""
    return lambda: leases.hold(dispatch(), monotonic_seconds())


@pytest.fixture
def report(reporter, leases):
    """Submit a report; what becomes of it comes in the queue that is returned."""

    def report(lease, *, chain=True):
        told = queue.SimpleQueue()

        def answered(answer):
            leases.drop(lease.id)
            told.put(answer)

        text = report_text(lease, 0, {"status": "success", "output": None})
        reporter.submit(Report(lease, text, chain=chain, on_answer=answered))
        return told

    return report


def test_the_report_of_the_only_run_waits_for_nobody(monkeypatch, answers, report, hold):
    monkeypatch.setattr("executor.reporter.LINGER_SECONDS", 10 * WAIT_SECONDS)

    assert report(hold()).get(timeout=WAIT_SECONDS).status == "finished"


def test_reports_that_are_there_together_go_together_at_once(monkeypatch, answers, report, hold):
    monkeypatch.setattr("executor.reporter.LINGER_SECONDS", 10 * WAIT_SECONDS)
    first_is_sent, go_on = threading.Event(), threading.Event()

    def finish(body):
        first_is_sent.set()
        assert go_on.wait(WAIT_SECONDS)
        return finished(body)

    answers.say("reports", finish)
    told = [report(hold())]
    assert first_is_sent.wait(WAIT_SECONDS)
    told += [report(lease) for lease in [hold(), hold()]]
    go_on.set()

    assert [one.get(timeout=WAIT_SECONDS).status for one in told] == ["finished"] * 3
    assert [len(body["reports"]) for body in answers.bodies("reports")] == [1, 2]


def test_whether_the_next_step_may_be_handed_out_is_said_of_all_reports_of_a_request(
    answers, report, hold
):
    first_is_sent, go_on = threading.Event(), threading.Event()

    def finish(body):
        first_is_sent.set()
        assert go_on.wait(WAIT_SECONDS)
        return finished(body)

    answers.say("reports", finish)
    told = [report(hold())]
    assert first_is_sent.wait(WAIT_SECONDS)
    told += [report(hold(), chain=chain) for chain in (True, False, False)]
    go_on.set()

    assert [one.get(timeout=WAIT_SECONDS).status for one in told] == ["finished"] * 4
    sent = [(body["chain"], len(body["reports"])) for body in answers.bodies("reports")]
    assert sent == [(True, 1), (True, 1), (False, 2)]


def test_a_request_grows_no_larger_than_the_orchestrator_takes(monkeypatch, answers, report, hold):
    first_is_sent, go_on = threading.Event(), threading.Event()

    def finish(body):
        first_is_sent.set()
        assert go_on.wait(WAIT_SECONDS)
        return finished(body)

    answers.say("reports", finish)
    leases = [hold() for _ in range(4)]
    size = len(report_text(leases[0], 0, {"status": "success", "output": None}))
    monkeypatch.setattr("executor.reporter.BYTES_PER_BATCH", 2 * size + 1)
    told = [report(leases[0])]
    assert first_is_sent.wait(WAIT_SECONDS)
    told += [report(lease) for lease in leases[1:]]
    go_on.set()

    assert [one.get(timeout=WAIT_SECONDS).status for one in told] == ["finished"] * 4
    assert [len(body["reports"]) for body in answers.bodies("reports")] == [1, 2, 1]


def test_an_answer_to_another_number_of_reports_is_no_answer(answers, report, hold):
    answers.say("reports", {"results": []}).then("reports", finished)

    assert report(hold()).get(timeout=WAIT_SECONDS).status == "finished"
    first, second = answers.bodies("reports")
    assert first == second


def test_a_report_lingers_for_the_other_runs_that_are_held(monkeypatch, answers, report, hold):
    lingers, go_on = threading.Event(), threading.Event()

    def linger(seconds):
        lingers.set()
        assert go_on.wait(WAIT_SECONDS)

    monkeypatch.setattr("executor.reporter.time.sleep", linger)
    first, second = hold(), hold()
    told = [report(first)]
    assert lingers.wait(WAIT_SECONDS)
    told.append(report(second))
    go_on.set()

    assert [one.get(timeout=WAIT_SECONDS).status for one in told] == ["finished"] * 2
    assert [len(body["reports"]) for body in answers.bodies("reports")] == [2]

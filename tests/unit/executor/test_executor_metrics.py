"""What an executor tells Prometheus."""

import httpx2
import msgspec
import pytest

from executor import App, StepError
from executor.client import Identity, Orchestrator
from executor.deadline import monotonic_seconds
from executor.leases import HeldLeases
from executor.metrics import Metrics
from executor.reporter import Report, Reporter, report_text
from tests.acceptance.waiting import eventually
from tests.scraped import Scraped
from tests.unit.executor.conftest import finished, renewed


@pytest.fixture
def app():
    app = App()
    app.step("refund")(lambda context: None)

    @app.step("fail")
    def fail(context):
        raise StepError("no")

    return app


def scrape(executor):
    answer = httpx2.get(f"{executor.url}/metrics", trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scraped(answer.text)


def told(executor, name, count=1, **labels):
    """A scrape that counts so many."""

    def look():
        scraped = scrape(executor)
        return scraped if scraped.sum(name, **labels) >= count else None

    return eventually(look, what=f"{name} {labels}")


def test_runs_are_counted_from_claim_to_report(answers, start_executor, app, dispatch):
    made = [dispatch(type="refund"), dispatch(type="refund"), dispatch(type="fail")]
    claimed = {"dispatches": [msgspec.to_builtins(one) for one in made]}
    answers.say("claims", claimed).then("claims", {"dispatches": [], "nextPollAfterMs": 50})

    executor = start_executor(app, EXECUTOR_SLOTS="3")

    scraped = told(executor, "dibs_executor_reports_total", 3, result="finished")
    steps = "dibs_executor_step_duration_seconds_count"
    assert scraped.sum(steps, type="refund", outcome="success") == 2
    assert scraped.sum(steps, type="fail", outcome="error") == 1
    assert scraped.sum("dibs_executor_claimed_runs_total", by="poll") == 3
    assert scraped.sum("dibs_executor_claims_total", result="granted") == 1
    assert scraped.sum("dibs_executor_slots") == 3
    assert scraped.sum("dibs_executor_orchestrator_up") == 1
    assert scraped.sum("process_cpu_seconds_total") > 0
    assert not [name for name in scraped.names if name.endswith("_created")]


def test_a_type_without_a_handler_is_given_back_and_makes_no_series(
    answers, start_executor, app, dispatch
):
    made = msgspec.to_builtins(dispatch(type="unheard-of"))
    answers.say("claims", {"dispatches": [made]}).then("claims", {"dispatches": []})

    executor = start_executor(app)

    scraped = told(executor, "dibs_executor_releases_total", reason="no-handler")
    assert "unheard-of" not in scraped.text


def test_triggers_are_counted_by_their_code_and_unknown_ones_together(answers, start_executor, app):
    answers.say("whoami", {"code": "made-up-by-a-proxy"}, 418)
    executor = start_executor(app)
    trigger = f"{executor.url}/runs/00000000-0000-7000-8000-000000000000/trigger"

    httpx2.post(trigger, trust_env=False)
    httpx2.post(trigger, trust_env=False, headers={"Authorization": "Bearer dibs_a_b"})

    scraped = told(executor, "dibs_executor_triggers_total", code="other")
    assert scraped.sum("dibs_executor_triggers_total", code="unauthenticated") == 1
    assert "made" not in scraped.text


def test_however_many_ask_it_is_written_once_a_second(monkeypatch):
    now = 100.0
    monkeypatch.setattr("executor.metrics.monotonic_seconds", lambda: now)
    metrics = Metrics()
    first = metrics.exposition()
    metrics.claims.add("empty")

    assert metrics.exposition() is first
    now = 101.0

    assert Scraped(metrics.exposition().decode()).sum("dibs_executor_claims_total") == 1


def test_a_report_that_nobody_answers_is_counted_as_sent_again(answers, dispatch):
    answers.say("reports", {}, 503).then("reports", finished)
    metrics = Metrics()
    identity = Identity(token="dibs_k_secret", instance="e1", session="s")
    orchestrator = Orchestrator(answers.url, identity, httpx2.create_ssl_context())
    leases, heard = HeldLeases(), []
    reporter = Reporter(orchestrator, leases, metrics)
    reporter.start()
    lease = leases.hold(dispatch(), sent_at=monotonic_seconds())
    text = report_text(lease, 0, {"status": "success"})

    reporter.submit(Report(lease, text, True, heard.append))

    eventually(lambda: heard)
    scraped = Scraped(metrics.exposition().decode())
    assert scraped.sum("dibs_executor_report_repeats_total") == 1
    assert scraped.sum("dibs_executor_reports_total", result="finished") == 1
    orchestrator.close()


def test_renewals_and_what_they_find_lost_are_counted(answers, start_executor, dispatch):
    app = App()
    app.step("refund")(lambda context: context.aborted.wait(20) and None)
    made = dispatch(lease_seconds=2)

    def lost(body):
        status, answer = renewed(body)
        return status, {**answer, "renewed": [], "lost": [x["leaseId"] for x in body["leases"]]}

    answers.say("renew", lost)
    claimed = {"dispatches": [msgspec.to_builtins(made)]}
    answers.say("claims", claimed).then("claims", {"dispatches": []})

    executor = start_executor(app, EXECUTOR_LEASE_SECONDS="2")

    scraped = told(executor, "dibs_executor_leases_lost_total")
    assert scraped.sum("dibs_executor_heartbeats_total", result="answered") >= 1
    assert scraped.sum("dibs_executor_last_heartbeat_timestamp_seconds") > 1_700_000_000

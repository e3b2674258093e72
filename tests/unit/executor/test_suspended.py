"""Leases past their own deadline: stopped, and gone on with when they are ours still."""

import threading
import time

import httpx2
import msgspec
import pytest

from executor import App
from executor.client import Identity, Orchestrator
from executor.deadline import monotonic_seconds
from executor.ending import Ending
from executor.execution import Cancellation, Execution
from executor.in_flight import InFlightRun
from executor.leases import HeldLeases
from executor.metrics import Metrics
from executor.releaser import Releaser
from executor.reporter import Reporter

WAIT_SECONDS = 10
LEASE_SECONDS = 1


@pytest.fixture
def app():
    return App()


@pytest.fixture
def outage(answers):
    """The orchestrator cannot renew anything until it is told to go on."""

    class Outage:
        def __init__(self):
            answers.say("renew", {}, 503)

        def end(self):
            answers.say("renew", renew_all)

        def end_too_late(self):
            answers.say("renew", lose_all)

    return Outage()


@pytest.fixture
def hand_out(answers):
    """Have dispatches claimed once, and nothing after them."""

    def hand_out(*dispatches):
        claimed = [msgspec.to_builtins(dispatch) for dispatch in dispatches]
        answers.say("claims", {"dispatches": claimed})
        answers.then("claims", {"dispatches": [], "nextPollAfterMs": 20})

    return hand_out


def renew_all(body):
    renewed = [{"leaseId": lease["leaseId"]} for lease in body["leases"]]
    return 200, {"renewed": renewed, "serverTime": "2027-01-01T00:00:00.000Z"}


def lose_all(body):
    lost = [lease["leaseId"] for lease in body["leases"]]
    return 200, {"renewed": [], "lost": lost, "serverTime": "2027-01-01T00:00:00.000Z"}


def until_idle(executor, answers):
    """Wait until what was handed out is over: the claim after it has been asked."""
    answers.wait_for("claims", 2)
    assert executor.runner.wait_until_idle(WAIT_SECONDS)
    assert len(executor.in_flight) == 0


def outcomes(answers):
    """What was reported, in order."""
    bodies = answers.bodies("reports")
    return [report["outcome"] for body in bodies for report in body["reports"]]


def test_a_lease_past_its_own_deadline_stops_the_handler_and_nothing_is_written_when_it_is_lost(
    app, answers, start_executor, hand_out, dispatch, outage
):
    stopped = threading.Event()

    @app.step("refund")
    def refund(context):
        assert context.aborted.wait(WAIT_SECONDS)
        stopped.set()
        return "too late"

    hand_out(dispatch(lease_seconds=LEASE_SECONDS))
    executor = start_executor(app)
    assert stopped.wait(WAIT_SECONDS)
    answers.wait_for("renew", len(answers.bodies("renew")) + 3)
    outage.end_too_late()

    until_idle(executor, answers)

    assert answers.bodies("reports") == []
    assert answers.bodies("release") == []


def test_what_a_handler_returned_past_the_deadline_is_reported_once_the_lease_is_renewed(
    app, answers, start_executor, hand_out, dispatch, outage
):
    @app.step("refund")
    def refund(context):
        assert context.aborted.wait(WAIT_SECONDS)
        threading.Timer(0.3, outage.end).start()
        return "in time after all"

    hand_out(dispatch(lease_seconds=LEASE_SECONDS))

    until_idle(start_executor(app), answers)

    (outcome,) = outcomes(answers)
    assert (outcome["status"], outcome["output"]) == ("success", "in time after all")


def test_a_step_that_stopped_at_the_deadline_is_executed_again_under_the_renewed_lease(
    app, answers, start_executor, hand_out, dispatch, outage
):
    executions = []

    @app.step("refund")
    def refund(context):
        executions.append(context.fence)
        if len(executions) == 1:
            assert context.aborted.wait(WAIT_SECONDS)
            threading.Timer(0.3, outage.end).start()
            context.stop_if_aborted()
        return "at the second time"

    made = dispatch(lease_seconds=LEASE_SECONDS)
    hand_out(made)

    until_idle(start_executor(app), answers)

    assert executions == [made.lease.fence] * 2
    (outcome,) = outcomes(answers)
    assert (outcome["status"], outcome["output"]) == ("success", "at the second time")
    assert answers.bodies("release") == []


def test_a_mutating_step_that_stopped_at_the_deadline_is_not_executed_again(
    app, answers, start_executor, hand_out, dispatch, outage
):
    executions = []

    @app.step("refund", mutating=True)
    def refund(context):
        executions.append(context.fence)
        assert context.aborted.wait(WAIT_SECONDS)
        threading.Timer(0.3, outage.end).start()
        context.stop_if_aborted()

    hand_out(dispatch(lease_seconds=LEASE_SECONDS))

    until_idle(start_executor(app), answers)

    assert len(executions) == 1
    assert [outcome["status"] for outcome in outcomes(answers)] == ["unknown"]


def test_no_step_begins_past_the_deadline_nor_is_written_ahead(
    app, answers, start_executor, hand_out, dispatch, outage
):
    first = dispatch(input=1, lease_seconds=30)
    second = dispatch(input=2, lease_seconds=LEASE_SECONDS)
    began_in_outage, written_ahead_in_outage = [], []
    is_over = threading.Event()

    def end():
        written_ahead_in_outage.extend(answers.bodies("start"))
        is_over.set()
        outage.end()

    @app.step("refund", mutating=True)
    def refund(context):
        if not is_over.is_set():
            began_in_outage.append(context.input)
            time.sleep(1.5 * LEASE_SECONDS)
            # The slot is free for the second one then, whose lease is past its deadline.
            threading.Timer(0.5, end).start()
        return context.input

    hand_out(first, second)
    executor = start_executor(app, EXECUTOR_SLOTS="1")
    until_idle(executor, answers)

    assert began_in_outage == [1]
    assert len(written_ahead_in_outage) == 1
    assert sorted(outcome["output"] for outcome in outcomes(answers)) == [1, 2]


def test_no_mutating_step_begins_that_was_allowed_to_too_late(
    app, answers, start_executor, hand_out, dispatch, outage
):
    is_over = threading.Event()
    began_in_outage = []

    def end():
        is_over.set()
        outage.end()

    def answer_past_the_deadline(body):
        time.sleep(0 if is_over.is_set() else 1.5 * LEASE_SECONDS)
        threading.Timer(0.3, end).start()
        return 200, {"started": True}

    @app.step("refund", mutating=True)
    def refund(context):
        began_in_outage.append(not is_over.is_set())

    answers.say("start", answer_past_the_deadline)
    hand_out(dispatch(lease_seconds=LEASE_SECONDS))

    until_idle(start_executor(app), answers)

    assert began_in_outage == [False]
    assert [outcome["status"] for outcome in outcomes(answers)] == ["success"]


def test_a_report_that_took_effect_without_an_answer_ends_with_the_news_that_the_lease_is_lost(
    app, answers, start_executor, hand_out, dispatch, outage
):
    app.step("refund")(lambda context: "done")
    answers.say("reports", {}, 503)
    hand_out(dispatch(lease_seconds=LEASE_SECONDS))
    executor = start_executor(app)
    answers.wait_for("reports", 2)
    outage.end_too_late()

    until_idle(executor, answers)

    assert {outcome["status"] for outcome in outcomes(answers)} == {"success"}
    assert answers.bodies("release") == []


def test_what_is_suspended_is_let_go_when_the_process_ends(
    app, answers, start_executor, hand_out, dispatch, outage
):
    stopped = threading.Event()

    @app.step("refund")
    def refund(context):
        assert context.aborted.wait(WAIT_SECONDS)
        stopped.set()
        context.stop_if_aborted()

    hand_out(dispatch(lease_seconds=LEASE_SECONDS))
    executor = start_executor(app)
    assert stopped.wait(WAIT_SECONDS)

    executor.runner.release_running()
    until_idle(executor, answers)

    assert answers.bodies("release") == []
    assert answers.bodies("reports") == []


@pytest.fixture
def over():
    """What has ended."""
    return []


@pytest.fixture
def ending(answers, over):
    identity = Identity(token="dibs_k_secret", instance="e1", session="s")
    orchestrator = Orchestrator(answers.url, identity, httpx2.create_ssl_context())
    leases, releaser = HeldLeases(), Releaser(orchestrator, Metrics())
    releaser.start()
    yield Ending(
        leases,
        Reporter(orchestrator, leases, Metrics()),
        releaser,
        Metrics(),
        chain_limit=0,
        on_next=lambda execution: None,
        on_over=over.append,
    )
    orchestrator.close()


def decided(made, sent_at):
    """An execution of which nothing else will be decided."""
    execution = Execution(InFlightRun(made.run.id), HeldLeases().hold(made, sent_at), made)
    execution.decide()
    return execution


def test_what_was_renewed_before_it_waited_goes_on_at_once(ending, dispatch):
    went_on = []

    ending.suspend(decided(dispatch(), time.monotonic() + 1e6), lambda: went_on.append(True))

    assert went_on == [True]


def test_nothing_waits_for_a_renewal_when_the_process_ends(ending, dispatch, over):
    went_on = []
    ending.stop_suspending()
    execution = decided(dispatch(), 0.0)

    ending.suspend(execution, lambda: went_on.append(True))

    deadline = time.monotonic() + WAIT_SECONDS
    while not over and time.monotonic() < deadline:
        time.sleep(0.01)
    assert over == [execution]
    assert went_on == []


def test_a_claim_that_cannot_be_confirmed_is_begun_when_the_heartbeat_has_renewed_it(
    app, answers, start_executor, dispatch, outage
):
    made = dispatch(lease_seconds=LEASE_SECONDS)
    claimed = {"dispatches": [msgspec.to_builtins(made)]}

    def answer_past_the_deadline(body):
        time.sleep(1.5 * LEASE_SECONDS)
        return 200, claimed

    answers.say("claims", answer_past_the_deadline)
    answers.then("claims", {"dispatches": [], "nextPollAfterMs": 20})
    app.step("refund")(lambda context: "done")
    executor = start_executor(app)
    answers.wait_for("renew")
    time.sleep(1.5 * LEASE_SECONDS)
    assert outcomes(answers) == []
    outage.end()

    until_idle(executor, answers)

    assert {lease["leaseId"] for body in answers.bodies("renew") for lease in body["leases"]} == {
        made.lease.id
    }
    assert [outcome["status"] for outcome in outcomes(answers)] == ["success"]


def test_a_lease_past_its_deadline_before_its_run_is_begun_is_named_on(
    app, answers, start_executor, dispatch, outage
):
    executor = start_executor(app)
    made = dispatch(lease_seconds=LEASE_SECONDS)
    lease = executor.leases.hold(made, monotonic_seconds() - 2 * LEASE_SECONDS)
    executor.runner.cancel(lease.id, Cancellation.DEADLINE)

    assert executor.leases.holds(lease.id)
    executor.runner.cancel(lease.id, Cancellation.LOST)
    assert not executor.leases.holds(lease.id)


def test_a_run_whose_lease_was_lost_before_it_is_begun_is_not_begun(
    app, answers, start_executor, dispatch
):
    began = []
    app.step("refund")(lambda context: began.append(context.run.id))
    executor = start_executor(app)
    made = dispatch()
    lease = executor.leases.hold(made, monotonic_seconds())
    executor.runner.cancel(lease.id, Cancellation.LOST)
    executor.runner.begin(made, lease)

    assert executor.runner.wait_until_idle(WAIT_SECONDS)
    assert began == []
    assert len(executor.in_flight) == 0

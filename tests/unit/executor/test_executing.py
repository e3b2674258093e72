"""An executor in this process: what it sends for what its handlers do."""

import asyncio
import threading
from dataclasses import dataclass

import msgspec
import pytest
from msgspec.structs import replace

from executor import App, AwaitInput

WAIT_SECONDS = 10


@dataclass
class Order:
    amount: int


@pytest.fixture
def app():
    return App()


@pytest.fixture
def hand_out(answers):
    """Have dispatches claimed once, and nothing after them."""

    def hand_out(*dispatches):
        claimed = [msgspec.to_builtins(dispatch) for dispatch in dispatches]
        answers.say("claims", {"dispatches": claimed})
        answers.then("claims", {"dispatches": [], "nextPollAfterMs": 20})

    return hand_out


def only_report(answers):
    """The one report that was sent."""
    (body,) = answers.wait_for("reports")
    (report,) = body["reports"]
    return report


def until_idle(executor, answers):
    """Wait until what was handed out is over: the claim after it has been asked."""
    answers.wait_for("claims", 2)
    assert executor.runner.wait_until_idle(WAIT_SECONDS)
    assert len(executor.in_flight) == 0


def test_a_plain_handler_is_executed_and_its_output_reported(
    app, answers, start_executor, hand_out, dispatch
):
    made = dispatch(input={"orderId": 7})
    app.step("refund")(lambda context: {"refunded": context.input["orderId"]})
    hand_out(made)

    executor = start_executor(app)

    assert only_report(answers) == {
        "leaseId": made.lease.id,
        "runId": made.run.id,
        "stepIndex": 0,
        "outcome": {"status": "success", "output": {"refunded": 7}},
    }
    until_idle(executor, answers)


def test_async_handlers_are_executed_together_on_one_loop(
    app, answers, start_executor, hand_out, dispatch
):
    running = []

    @app.step("refund")
    async def refund(context):
        running.append(asyncio.get_running_loop())
        while len(running) < 3:
            await asyncio.sleep(0.01)
        return "together"

    hand_out(dispatch(), dispatch(), dispatch())
    executor = start_executor(app)
    until_idle(executor, answers)

    assert len(set(running)) == 1
    reports = [report for body in answers.bodies("reports") for report in body["reports"]]
    assert [report["outcome"]["output"] for report in reports] == ["together"] * 3


@pytest.mark.parametrize("raised", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_whatever_a_handler_raises_is_its_steps_error_and_the_next_run_is_executed(
    app, answers, start_executor, hand_out, dispatch, raised
):
    def fail(context):
        raise raised

    async def fail_on_the_loop(context):
        raise raised

    app.step("fail")(fail)
    app.step("fail-on-the-loop")(fail_on_the_loop)
    app.step("refund")(lambda _: "fine")
    types = ("fail", "fail-on-the-loop", "refund")
    hand_out(*(dispatch(type=step_type) for step_type in types))

    until_idle(start_executor(app, EXECUTOR_SLOTS="1"), answers)

    reports = [report for body in answers.bodies("reports") for report in body["reports"]]
    assert [report["outcome"]["status"] for report in reports] == ["error", "error", "success"]


def test_a_step_nobody_can_execute_is_given_back(app, answers, start_executor, hand_out, dispatch):
    made = dispatch(type="unheard-of")
    hand_out(made)

    executor = start_executor(app)

    (body,) = answers.wait_for("release")
    assert body["reason"] == "no-handler"
    assert body["leases"] == [{"leaseId": made.lease.id, "runId": made.run.id}]
    until_idle(executor, answers)
    assert answers.bodies("reports") == []


def test_a_mutating_handler_begins_only_after_its_write_ahead(
    app, answers, start_executor, hand_out, dispatch
):
    written_ahead = []

    @app.step("refund", mutating=True)
    def refund(context):
        written_ahead.extend(answers.bodies("start"))

    made = dispatch()
    hand_out(made)
    until_idle(start_executor(app), answers)

    (start,) = written_ahead
    assert start["leaseId"] == made.lease.id


def test_a_write_ahead_keeps_its_id_over_its_repeats(
    app, answers, start_executor, hand_out, dispatch
):
    app.step("refund", mutating=True)(lambda context: None)
    answers.say("start", {}, 503).then("start", {"started": True})
    hand_out(dispatch())

    until_idle(start_executor(app), answers)

    asked = answers.request_ids("start")
    assert (len(asked), len(set(asked))) == (2, 1)


def test_claims_stand_in_the_log_under_the_id_that_they_are_repeated_by(
    app, answers, start_executor
):
    start_executor(app)
    answers.wait_for("claims")

    sent = [body["requestId"] for body in answers.bodies("claims")]
    assert answers.request_ids("claims")[: len(sent)] == sent


def test_a_registration_keeps_its_id_over_its_repeats(app, answers, start_executor):
    answers.say("register", {}, 503).then("register", {})
    start_executor(app)
    answers.wait_for("register", 2)

    assert len(set(answers.request_ids("register"))) == 1


def test_a_mutating_handler_whose_write_ahead_is_refused_does_not_begin(
    app, answers, start_executor, hand_out, dispatch
):
    began = threading.Event()
    app.step("refund")(lambda _: began.set())
    answers.say("start", {"code": "lease-lost"}, 409)
    hand_out(dispatch(mutating=True))

    executor = start_executor(app)
    answers.wait_for("release")
    until_idle(executor, answers)

    assert not began.is_set()
    assert answers.bodies("reports") == []


@pytest.mark.parametrize(("mutating", "status"), [(False, "error"), (True, "unknown")])
def test_a_handler_that_stops_at_its_time_out_is_reported_as_timed_out(
    app, answers, start_executor, hand_out, dispatch, mutating, status
):
    @app.step("refund", mutating=mutating)
    def refund(context):
        assert context.aborted.wait(WAIT_SECONDS)
        context.stop_if_aborted()

    hand_out(dispatch(timeoutSeconds=0.05))
    until_idle(start_executor(app), answers)

    outcome = only_report(answers)["outcome"]
    assert outcome["status"] == status
    assert outcome["message"] == "timed out after 0.05 s"


def test_an_async_handler_is_interrupted_at_its_time_out(
    app, answers, start_executor, hand_out, dispatch
):
    @app.step("refund", timeout=0.05)
    async def refund(context):
        await asyncio.Event().wait()

    hand_out(dispatch())
    until_idle(start_executor(app), answers)

    assert only_report(answers)["outcome"]["message"] == "timed out after 0.05 s"


def test_a_handler_that_ignores_its_time_out_keeps_its_slot_and_its_result_is_not_written(
    app, answers, start_executor, hand_out, dispatch
):
    let_go = threading.Event()

    @app.step("refund", timeout=0.05)
    def refund(context):
        let_go.wait(WAIT_SECONDS)
        return "too late"

    made = dispatch()
    hand_out(made)
    executor = start_executor(app, EXECUTOR_SLOTS="1")

    assert only_report(answers)["outcome"]["status"] == "error"
    assert executor.in_flight.find(made.run.id) is not None
    assert executor.runner.free_slots == 0
    (ignoring,) = executor.health()["ignoringCancellation"]
    assert ignoring["runId"] == made.run.id
    let_go.set()
    until_idle(executor, answers)
    assert executor.health()["ignoringCancellation"] == []
    assert len(answers.bodies("reports")) == 1


def test_a_lost_lease_stops_the_handler_and_nothing_is_written(
    app, answers, start_executor, hand_out, dispatch
):
    stopped = threading.Event()
    made = dispatch(lease_seconds=2)
    lost = {"renewed": [], "lost": [made.lease.id], "serverTime": "2027-01-01T00:00:00.000Z"}

    @app.step("refund")
    def refund(context):
        answers.say("renew", lost)
        assert context.aborted.wait(WAIT_SECONDS)
        stopped.set()
        return "too late"

    hand_out(made)

    until_idle(start_executor(app), answers)

    assert stopped.is_set()
    assert answers.bodies("reports") == []
    assert answers.bodies("release") == []


def test_one_unfit_output_is_its_own_steps_error_and_holds_up_no_neighbour(
    app, answers, start_executor, hand_out, dispatch
):
    outputs = ["fine", object(), "x" * 300_000, "also fine"]
    app.step("refund")(lambda context: outputs[context.input])
    hand_out(*(dispatch(input=number) for number in range(4)))

    until_idle(start_executor(app), answers)

    reports = [report for body in answers.bodies("reports") for report in body["reports"]]
    statuses = sorted(report["outcome"]["status"] for report in reports)
    assert statuses == ["error", "error", "success", "success"]


def test_a_report_that_fails_its_whole_batch_is_found_and_becomes_its_own_error(
    app, answers, start_executor, hand_out, dispatch
):
    both_reporting = threading.Barrier(2)

    @app.step("refund")
    def refund(context):
        both_reporting.wait(WAIT_SECONDS)
        if context.input == "odd":
            raise AwaitInput({"odd": True})
        return "fine"

    odd, fine = dispatch(input="odd"), dispatch(input="fine")

    def judge(body):
        if any("odd" in str(report) for report in body["reports"]):
            return 422, {"code": "validation"}
        finished = [{"runId": one["runId"], "status": "finished"} for one in body["reports"]]
        return 200, {"results": finished}

    answers.say("reports", judge)
    hand_out(odd, fine)
    until_idle(start_executor(app), answers)

    last = {r["runId"]: r["outcome"] for b in answers.bodies("reports") for r in b["reports"]}
    assert last[fine.run.id]["status"] == "success"
    assert last[odd.run.id]["status"] == "error"


def test_a_chain_goes_on_under_one_lease_and_one_entry(
    app, answers, start_executor, hand_out, dispatch
):
    made = dispatch()
    entries = []
    executors = []

    @app.step("refund")
    def refund(context):
        entries.append(executors[0].in_flight.find(context.run.id))
        return context.step.index

    second = replace(made, step=replace(made.step, index=1))
    following = msgspec.to_builtins(second)
    go_on = {"runId": made.run.id, "status": "continue", "next": following}
    answers.say("reports", {"results": [go_on]})
    answers.then("reports", {"results": [{"runId": made.run.id, "status": "finished"}]})
    # Until the executor is known to the handler nothing is handed out.
    executors.append(start_executor(app))
    hand_out(made)
    bodies = answers.wait_for("reports", 2)

    until_idle(executors[0], answers)
    assert [body["reports"][0]["stepIndex"] for body in bodies] == [0, 1]
    assert entries[0] is entries[1] is not None


@pytest.mark.parametrize(("limit", "steps"), [("2", 3), ("0", 5)])
def test_a_chain_ends_at_its_limit_and_0_is_none(
    app, answers, start_executor, hand_out, dispatch, limit, steps
):
    made = dispatch()
    app.step("refund")(lambda context: context.step.index)

    def go_on(body):
        index = body["reports"][0]["stepIndex"] + 1
        if not body["chain"] or index == 5:
            status = "pending" if index < 5 else "finished"
            return 200, {"results": [{"runId": made.run.id, "status": status}]}
        step = replace(made.step, index=index)
        following = msgspec.to_builtins(replace(made, step=step))
        continued = {"runId": made.run.id, "status": "continue", "next": following}
        return 200, {"results": [continued]}

    answers.say("reports", go_on)
    hand_out(made)
    until_idle(start_executor(app, EXECUTOR_CHAIN_LIMIT=limit), answers)

    chains = [body["chain"] for body in answers.bodies("reports")]
    assert chains == [True] * (steps - 1) + [limit == "0"]


def test_a_drain_ends_a_chain_between_two_steps(app, answers, start_executor, hand_out, dispatch):
    made = dispatch()
    executed = []
    executors = []
    app.step("refund")(lambda context: executed.append(context.step.index))
    following = msgspec.to_builtins(made)
    following["step"]["index"] = 1

    def go_on_while_draining(body):
        executors[0].runner.drain()
        go_on = {"runId": made.run.id, "status": "continue", "next": following}
        return 200, {"results": [go_on]}

    answers.say("reports", go_on_while_draining)
    executors.append(start_executor(app))
    hand_out(made)
    (released,) = answers.wait_for("release")

    assert executors[0].runner.wait_until_idle(WAIT_SECONDS)
    assert executed == [0]
    assert released["reason"] == "draining"


def test_an_input_that_does_not_fit_is_an_error_before_a_mutating_step_is_begun(
    app, answers, start_executor, hand_out, dispatch
):
    charged = []

    @app.step("refund", mutating=True)
    def refund(context, order: Order):
        charged.append(order.amount)

    hand_out(dispatch(input={"amount": "much"}))
    until_idle(start_executor(app), answers)

    outcome = only_report(answers)["outcome"]
    assert outcome["status"] == "error"
    assert outcome["retryable"] is False
    assert "amount: Input should be a valid integer" in outcome["message"]
    assert charged == answers.bodies("start") == []


def test_a_typed_input_reaches_the_handler_together_with_earlier_outputs(
    app, answers, start_executor, hand_out, dispatch
):
    @app.step("refund", input=Order)
    def refund(context):
        return [context.input.amount, context.outputs["check"]["limit"], context.resumed]

    hand_out(dispatch(input={"amount": 7}, outputs={"check": {"limit": 9}}, resumed=True))
    until_idle(start_executor(app), answers)

    assert only_report(answers)["outcome"]["output"] == [7, 9, True]


@pytest.mark.parametrize(
    "bad",
    [
        {"step": {"index": 0}},
        {"run": {"id": "00000000-0000-7000-8000-999999999999"}},
        {"lease": {"id": "another"}},
    ],
    ids=["step does not advance", "another run", "another lease"],
)
def test_a_chained_dispatch_that_cannot_be_right_is_refused(
    app, answers, start_executor, hand_out, dispatch, bad
):
    made = dispatch()
    executed = []
    app.step("refund")(lambda context: executed.append(context.step.index))
    following = msgspec.to_builtins(made)
    following["step"]["index"] = 1
    for part, members in bad.items():
        following[part] |= members
    go_on = {"runId": made.run.id, "status": "continue", "next": following}
    answers.say("reports", {"results": [go_on]})
    hand_out(made)

    until_idle(start_executor(app), answers)

    assert executed == [0]
    (body,) = answers.bodies("release")
    assert body["reason"] == "bad-dispatch"


def test_no_step_begins_beside_a_handler_that_ignores_its_time_out(
    app, answers, start_executor, hand_out, dispatch
):
    let_go = threading.Event()
    executed = []

    @app.step("refund", timeout=0.05)
    def refund(context):
        executed.append(context.step.index)
        let_go.wait(WAIT_SECONDS)

    made = dispatch()
    following = msgspec.to_builtins(made)
    following["step"]["index"] = 1
    go_on = {"runId": made.run.id, "status": "continue", "next": following}
    answers.say("reports", {"results": [go_on]})
    hand_out(made)
    executor = start_executor(app)
    (body,) = answers.wait_for("release")
    let_go.set()
    until_idle(executor, answers)

    assert executed == [0]
    assert body["reason"] == "bad-dispatch"


def test_a_claim_asks_for_no_more_than_the_free_slots(
    app, answers, start_executor, hand_out, dispatch
):
    let_go = threading.Event()
    app.step("refund")(lambda _: let_go.wait(WAIT_SECONDS))
    hand_out(dispatch(), dispatch())

    executor = start_executor(app, EXECUTOR_SLOTS="3")
    claims = answers.wait_for("claims", 2)
    let_go.set()

    assert [claim["limit"] for claim in claims[:2]] == [3, 1]
    until_idle(executor, answers)


def test_reports_that_are_not_answered_yet_hold_up_neither_claims_nor_other_runs(
    app, answers, start_executor, dispatch
):
    reported, let_go = threading.Event(), threading.Event()

    def hold_the_answer(body):
        reported.set()
        assert let_go.wait(WAIT_SECONDS)
        return 200, {"results": [{"runId": body["reports"][0]["runId"], "status": "finished"}]}

    def hand_out(body):
        # Each of two claims brings a run, the second one while the first run is reported.
        if len(answers.bodies("claims")) == 2:
            assert reported.wait(WAIT_SECONDS)
        claimed = [] if len(answers.bodies("claims")) > 2 else [dispatch()]
        return 200, {
            "dispatches": [msgspec.to_builtins(one) for one in claimed],
            "nextPollAfterMs": 20,
        }

    both_ran = threading.Semaphore(0)
    app.step("refund")(lambda _: both_ran.release())
    answers.say("reports", hold_the_answer)
    answers.say("claims", hand_out)

    executor = start_executor(app, EXECUTOR_SLOTS="2")

    for _ in range(2):
        assert both_ran.acquire(timeout=WAIT_SECONDS)
    assert executor.health()["inFlight"] == 2
    assert len(answers.bodies("reports")) == 1
    let_go.set()
    until_idle(executor, answers)

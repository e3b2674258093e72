"""An execution: who may say what becomes of its step."""

import threading

import pytest

from executor.execution import Cancellation, Execution
from executor.handlers import StepContext
from executor.in_flight import InFlightRun
from executor.leases import HeldLeases


@pytest.fixture
def execution(dispatch):
    made = dispatch()
    lease = HeldLeases().hold(made, sent_at=0.0)
    return Execution(InFlightRun(made.run.id), lease, made)


@pytest.fixture
def context(execution):
    made = execution.dispatch
    return StepContext(
        run=made.run, step=made.step, input=None, outputs={}, fence=1, idempotency_key="k"
    )


def test_one_of_many_gets_to_decide(execution):
    barrier = threading.Barrier(16)
    decided: list[bool] = []

    def race():
        barrier.wait()
        decided.append(execution.decide())

    racers = [threading.Thread(target=race) for _ in range(16)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    assert sorted(decided) == [False] * 15 + [True]


def test_a_step_that_was_decided_before_it_began_does_not_begin(execution, context):
    execution.decide()

    assert not execution.begin(context, timeout_seconds=None)
    assert not execution.handler_running


def test_a_cancelled_handler_is_told_and_its_first_cause_stays(execution, context):
    execution.begin(context, timeout_seconds=None)

    assert execution.cancel(Cancellation.ABORT)
    assert not execution.cancel(Cancellation.TIMEOUT)
    assert execution.cancellation is Cancellation.ABORT
    assert context.aborted.is_set()


def test_a_lost_lease_overrules_any_other_cause(execution, context):
    execution.begin(context, timeout_seconds=None)
    execution.cancel(Cancellation.ABORT)

    assert execution.cancel(Cancellation.LOST)
    assert not execution.cancel(Cancellation.DEADLINE)
    assert execution.cancellation is Cancellation.LOST


def test_a_deadline_stops_nothing_that_has_not_begun(execution):
    assert not execution.cancel(Cancellation.DEADLINE)
    assert execution.cancellation is None


def test_a_step_that_starts_over_forgets_its_deadline_and_no_other_cause(execution, context):
    execution.begin(context, timeout_seconds=None)
    execution.cancel(Cancellation.DEADLINE)
    execution.decide()

    execution.start_over()

    assert execution.cancellation is None
    assert execution.begin(context, timeout_seconds=None)
    execution.cancel(Cancellation.ABORT)
    execution.start_over()
    assert execution.cancellation is Cancellation.ABORT


def test_a_decided_step_cannot_be_cancelled(execution, context):
    execution.begin(context, timeout_seconds=None)
    execution.decide()

    assert not execution.cancel(Cancellation.LOST)


def test_an_interrupt_that_comes_after_the_cancellation_is_done_at_once(execution, context):
    interrupted = threading.Event()
    execution.begin(context, timeout_seconds=None)
    execution.cancel(Cancellation.ABORT)

    execution.interrupt_with(interrupted.set)

    assert interrupted.is_set()


def test_a_time_out_that_comes_too_late_does_not_cancel_the_next_step(execution, context):
    execution.begin(context, timeout_seconds=0.0)
    execution.handler_ended()
    execution.begin(context, timeout_seconds=60.0)

    assert not execution.cancel(Cancellation.TIMEOUT)
    assert execution.cancellation is None


def test_the_next_step_inherits_nothing_that_was_said_of_the_last(execution, context, dispatch):
    execution.mutating = execution.report_refused = execution.ignoring = True
    execution.begin(context, timeout_seconds=60.0)
    execution.handler_ended()
    execution.decide()
    following = dispatch(execution.dispatch.run.id, index=1)

    execution.advance(following)

    assert (execution.dispatch, execution.depth) == (following, 1)
    said = (execution.mutating, execution.report_refused, execution.ignoring, execution.decided)
    assert said == (False,) * 4
    assert (execution.context, execution.begun_at, execution.timeout_seconds) == (None,) * 3


def test_a_run_is_over_when_both_its_handler_and_its_lease_are(execution, context):
    execution.begin(context, timeout_seconds=None)
    execution.end_lease()
    assert not execution.is_over

    execution.handler_ended()

    assert execution.is_over

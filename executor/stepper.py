"""Executes steps: writes ahead, calls the handler, says how it ended."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import structlog

from executor import outcomes, verdict
from executor.client import Orchestrator
from executor.deadline import monotonic_seconds
from executor.ending import Ending
from executor.execution import Cancellation, Execution
from executor.handlers import App, Handler, StepContext
from executor.leases import HeldLeases
from executor.retry import until_answered
from executor.step_input import UnfitInputError
from executor.tracing import Tracing, within
from executor.transport import RefusedError, UnansweredError
from executor.wire import Dispatch
from executor.workers import HandlerLoop, Workers

log = structlog.get_logger()


class Stepper:
    """Takes one step at a time from its dispatch to its outcome."""

    def __init__(
        self,
        app: App,
        orchestrator: Orchestrator,
        leases: HeldLeases,
        workers: Workers,
        ending: Ending,
        tracing: Tracing,
    ) -> None:
        self._app = app
        self._orchestrator = orchestrator
        self._leases = leases
        self._workers = workers
        self._loop = HandlerLoop()
        self._ending = ending
        self._tracing = tracing

    def execute(self, execution: Execution) -> None:
        """Execute the step that the execution is at, on a worker thread."""
        self._workers.submit(lambda: self._execute(execution))

    def time_out(self, execution: Execution) -> None:
        """Report a time-out although the handler has not returned."""
        if execution.decide():
            outcome = verdict.timed_out(execution.timeout_seconds, mutating=execution.mutating)
            self._ending.report(execution, outcome)

    def _execute(self, execution: Execution) -> None:
        dispatch = execution.dispatch
        if execution.decided:
            return
        if execution.cancellation is not None:
            self._ending.give_back(execution, execution.cancellation.value)
            return
        if execution.is_overdue():
            self._suspend(execution)
            return
        handler = self._app.find(dispatch.step.type)
        if handler is None:
            self._ending.give_back(execution, "no-handler")
            return
        execution.step_trace = trace = self._tracing.step(dispatch, execution.lease.claimed_in)
        with within(trace.span if trace else None):
            self._execute_with(handler, execution)

    def _execute_with(self, handler: Handler, execution: Execution) -> None:
        dispatch = execution.dispatch
        try:
            # Before the write-ahead: of a mutating step nothing has happened yet.
            step_input = handler.input.read(dispatch.step.input)
        except UnfitInputError as unfit:
            if execution.decide():
                self._ending.report(execution, outcomes.error(str(unfit), retryable=False))
            return
        execution.mutating = handler.mutating or dispatch.step.mutating
        if execution.mutating and not self._write_ahead(execution):
            return
        set_progress = partial(self._leases.set_progress, execution.lease.id)
        context = _context(dispatch, step_input, set_progress)
        if execution.is_overdue():
            self._suspend(execution)
            return
        timeout_seconds = dispatch.step.timeout_seconds or handler.timeout_seconds
        if not execution.begin(context, timeout_seconds=timeout_seconds):
            return
        self._call(handler, context, execution)

    def _write_ahead(self, execution: Execution) -> bool:
        """Have the orchestrator note that a mutating step begins, or do not begin it."""
        dispatch, request_id = execution.dispatch, str(uuid4())

        def give_up() -> bool:
            return execution.decided or monotonic_seconds() > execution.lease.deadline

        try:
            until_answered(
                lambda: self._orchestrator.start_step(
                    dispatch.run.id,
                    dispatch.step.index,
                    execution.lease.id,
                    request_id=request_id,
                ),
                give_up=give_up,
            )
        except RefusedError as refusal:
            log.warning("step_start_refused", **execution.ids, code=refusal.code)
            self._ending.give_back(execution, "step-start-refused")
            return False
        except UnansweredError as unanswered:
            log.warning("step_start_unanswered", **execution.ids, reason=str(unanswered))
            self._suspend(execution)
            return False
        if execution.cancellation is not None and execution.decide():
            # The one moment at which it is known that nothing has happened.
            message = f"stopped before it began: {execution.cancellation.value}"
            self._ending.report(execution, outcomes.error(message, retryable=True))
            return False
        return True

    def _call(self, handler: Handler, context: StepContext, execution: Execution) -> None:
        ended = partial(self._handler_ended, execution)
        try:
            result = handler.call(context)
        except BaseException as raised:  # noqa: BLE001 - SystemExit must not end a worker
            ended(None, raised)
            return
        if inspect.isawaitable(result):
            self._loop.run(result, execution.interrupt_with, ended)
        else:
            ended(result, None)

    def _handler_ended(
        self, execution: Execution, result: Any, raised: BaseException | None
    ) -> None:
        execution.handler_ended()
        if not execution.decide():
            log.info("late_result_not_written", **execution.ids)
            self._ending.leave_if_over(execution)
            return
        outcome = self._outcome(execution, result, raised)
        if outcome is not None:
            self._ending.report(execution, outcome)
        elif execution.cancellation is Cancellation.DEADLINE:
            self._ending.suspend(execution, lambda: self._start_over(execution))
        else:
            self._ending.release(execution, Cancellation.DRAINING.value)

    def _suspend(self, execution: Execution) -> None:
        """Begin the step when its lease has been renewed, and not before."""
        if execution.decide():
            self._ending.suspend(execution, lambda: self._start_over(execution))

    def _start_over(self, execution: Execution) -> None:
        execution.start_over()
        self.execute(execution)

    def _outcome(
        self, execution: Execution, result: Any, raised: BaseException | None
    ) -> dict[str, Any] | None:
        cause, mutating = execution.cancellation, execution.mutating
        if cause is Cancellation.TIMEOUT:
            return verdict.timed_out(execution.timeout_seconds, mutating=mutating)
        try:
            return verdict.outcome_of(result, raised, cause, mutating=mutating)
        except Exception:  # A handler's own classes may raise wherever they are touched.
            log.exception("handler_broke_its_contract", **execution.ids)
            message = "the handler's result cannot be read"
            if mutating:
                return outcomes.unknown(message)
            return outcomes.error(message, retryable=False)


def _context(
    dispatch: Dispatch, step_input: Any, send_progress: Callable[[bytes], None]
) -> StepContext:
    return StepContext(
        run=dispatch.run,
        step=dispatch.step,
        input=step_input,
        outputs=dispatch.step.outputs or {},
        fence=dispatch.lease.fence,
        idempotency_key=dispatch.step.idempotency_key,
        send_progress=send_progress,
    )

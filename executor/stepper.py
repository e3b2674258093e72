"""Executes steps: writes ahead, calls the handler, reports, goes on to the next."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from executor import outcomes, verdict
from executor.client import Orchestrator, RefusedError, UnansweredError
from executor.deadline import monotonic_seconds
from executor.execution import Cancellation, Execution
from executor.handlers import App, Handler, StepContext
from executor.leases import HeldLeases
from executor.releaser import Release, Releaser
from executor.reporter import Report, Reporter, Unwritten, report_text
from executor.retry import until_answered
from executor.wire import Dispatch, ReportResult
from executor.workers import HandlerLoop, Workers

log = structlog.get_logger()


class Stepper:
    """
    Takes an execution from a dispatch to the end of its lease.

    Nothing here waits for an answer but the write-ahead: a report's answer
    comes back on the reporter's thread and goes on from there.
    """

    def __init__(
        self,
        app: App,
        orchestrator: Orchestrator,
        leases: HeldLeases,
        reporter: Reporter,
        releaser: Releaser,
        workers: Workers,
        *,
        chain_limit: int,
        on_over: Callable[[Execution], None],
    ) -> None:
        self._app = app
        self._orchestrator = orchestrator
        self._leases = leases
        self._reporter = reporter
        self._releaser = releaser
        self._workers = workers
        self._loop = HandlerLoop()
        self._chain_limit = chain_limit
        self._on_over = on_over
        self._draining = False

    def stop_chaining(self) -> None:
        """Let every run end at the step it is at."""
        self._draining = True

    def execute(self, execution: Execution) -> None:
        """Execute the step that the execution is at, on a worker thread."""
        self._workers.submit(lambda: self._execute(execution))

    def give_back(self, execution: Execution, reason: str) -> None:
        """Release the lease, unless the step has been decided already."""
        if execution.decide():
            self._release(execution, reason)

    def time_out(self, execution: Execution) -> None:
        """Report a time-out although the handler has not returned."""
        if execution.decide():
            outcome = verdict.timed_out(execution.timeout_seconds, mutating=execution.mutating)
            self._report(execution, outcome)

    def settle(self, execution: Execution) -> None:
        """Note that the lease is over; the execution is too when its handler is."""
        self._leases.drop(execution.lease.id)
        execution.end_lease()
        if execution.is_over:
            self._on_over(execution)

    def _execute(self, execution: Execution) -> None:
        dispatch = execution.dispatch
        if execution.decided:
            return
        if execution.cancellation is not None:
            self.give_back(execution, execution.cancellation.value)
            return
        handler = self._app.find(dispatch.step.type)
        if handler is None:
            self.give_back(execution, "no-handler")
            return
        execution.mutating = handler.mutating or dispatch.step.mutating
        if execution.mutating and not self._write_ahead(execution):
            return
        context = _context(dispatch, partial(self._leases.set_progress, execution.lease.id))
        timeout_seconds = dispatch.step.timeout_seconds or handler.timeout_seconds
        if not execution.begin(context, timeout_seconds=timeout_seconds):
            return
        self._call(handler, context, execution)

    def _write_ahead(self, execution: Execution) -> bool:
        """Have the orchestrator note that a mutating step begins, or do not begin it."""
        dispatch = execution.dispatch

        def give_up() -> bool:
            return execution.decided or monotonic_seconds() > execution.lease.deadline

        try:
            until_answered(
                lambda: self._orchestrator.start_step(
                    dispatch.run.id, dispatch.step.index, execution.lease.id
                ),
                give_up=give_up,
            )
        except RefusedError as refusal:
            log.warning("step-start-refused", run=dispatch.run.id, code=refusal.code)
            self.give_back(execution, "step-start-refused")
            return False
        except UnansweredError as unanswered:
            log.warning("step-start-unanswered", run=dispatch.run.id, reason=str(unanswered))
            if execution.decide():
                self.settle(execution)
            return False
        if execution.cancellation is not None and execution.decide():
            # The one moment at which it is known that nothing has happened.
            message = f"stopped before it began: {execution.cancellation.value}"
            self._report(execution, outcomes.error(message, retryable=True))
            return False
        return True

    def _call(self, handler: Handler, context: StepContext, execution: Execution) -> None:
        ended = partial(self._handler_ended, execution)
        try:
            result = handler.function(context)
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
            log.info("late-result-not-written", run=execution.entry.run_id)
            if execution.is_over:
                self._on_over(execution)
            return
        outcome = self._outcome(execution, result, raised)
        if outcome is None:
            self._release(execution, Cancellation.DRAINING.value)
        else:
            self._report(execution, outcome)

    def _outcome(
        self, execution: Execution, result: Any, raised: BaseException | None
    ) -> dict[str, Any] | None:
        cause, mutating = execution.cancellation, execution.mutating
        if cause is Cancellation.TIMEOUT:
            return verdict.timed_out(execution.timeout_seconds, mutating=mutating)
        try:
            return verdict.outcome_of(result, raised, cause, mutating=mutating)
        except Exception:  # A handler's own classes may raise wherever they are touched.
            log.exception("handler-broke-its-contract", run=execution.entry.run_id)
            message = "the handler's result cannot be read"
            if mutating:
                return outcomes.unknown(message)
            return outcomes.error(message, retryable=False)

    def _report(self, execution: Execution, outcome: dict[str, Any]) -> None:
        step = execution.dispatch.step
        log.info(
            "step-ended",
            run=execution.entry.run_id,
            step=step.name,
            index=step.index,
            outcome=outcome["status"],
            message=outcome.get("message"),
        )
        self._reporter.submit(
            Report(
                execution.lease,
                report_text(execution.lease, step.index, outcome),
                chain=not self._draining and execution.depth < self._chain_limit,
                on_answer=partial(self._answered, execution),
            )
        )

    def _answered(self, execution: Execution, answer: ReportResult | Unwritten) -> None:
        if isinstance(answer, Unwritten):
            self._unwritten(execution, answer.refusal)
        elif answer.status == "continue" and answer.next is not None:
            self._go_on(execution, answer.next)
        elif answer.status == "refused":
            self._refused(execution, answer)
        else:
            self.settle(execution)

    def _unwritten(self, execution: Execution, refusal: RefusedError | None) -> None:
        reason = "the lease's time was up" if refusal is None else str(refusal)
        log.warning("report-not-written", run=execution.entry.run_id, reason=reason)
        if refusal is None:
            self.settle(execution)
        else:
            self._report_refusal(execution, reason)

    def _refused(self, execution: Execution, result: ReportResult) -> None:
        code = result.problem.code if result.problem else "unknown"
        log.warning("report-refused", run=execution.entry.run_id, code=code)
        if code in ("lease-lost", "outcome-conflict"):
            self.settle(execution)
        else:
            self._report_refusal(execution, f"the report was refused: {code}")

    def _report_refusal(self, execution: Execution, reason: str) -> None:
        """Report, once, that what the step said of itself was not accepted."""
        if execution.report_refused:
            self._release(execution, "report-refused")
            return
        execution.report_refused = True
        if execution.mutating:
            self._report(execution, outcomes.unknown(reason))
        else:
            self._report(execution, outcomes.error(reason, retryable=False))

    def _go_on(self, execution: Execution, following: Dispatch) -> None:
        now = execution.dispatch
        if self._draining:
            self._release(execution, Cancellation.DRAINING.value)
        elif (
            following.run.id != now.run.id
            or following.lease.id != now.lease.id
            or following.step.index <= now.step.index
            or execution.handler_running
        ):
            log.error("dispatch-refused", run=now.run.id, step=following.step.name)
            self._release(execution, "bad-dispatch")
        else:
            execution.advance(following)
            self.execute(execution)

    def _release(self, execution: Execution, reason: str) -> None:
        self._releaser.submit(
            Release(execution.lease, reason, on_answer=lambda: self.settle(execution))
        )


def _context(dispatch: Dispatch, send_progress: Callable[[bytes], None]) -> StepContext:
    return StepContext(
        run=dispatch.run,
        step=dispatch.step,
        input=dispatch.step.input,
        outputs=dispatch.step.outputs or {},
        fence=dispatch.lease.fence,
        idempotency_key=dispatch.step.idempotency_key,
        send_progress=send_progress,
    )

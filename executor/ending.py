"""How a step ends for the orchestrator: reported, given back, or not to be written (yet)."""

from collections.abc import Callable
from typing import Any

import structlog

from executor import outcomes
from executor.deadline import monotonic_seconds
from executor.execution import Cancellation, Execution
from executor.leases import HeldLeases
from executor.metrics import Metrics
from executor.releaser import Release, Releaser
from executor.reporter import Overdue, Report, Reporter, Unwritten, report_text
from executor.tracing import end_report
from executor.transport import RefusedError
from executor.wire import Dispatch, ReportResult

log = structlog.get_logger()


class Ending:
    """
    Says what became of steps, and takes in what the orchestrator makes of it.

    Nothing here waits: answers come back on the reporter's and the releaser's
    threads. A lease is named by renewals until its answer is here.
    """

    def __init__(
        self,
        leases: HeldLeases,
        reporter: Reporter,
        releaser: Releaser,
        metrics: Metrics,
        *,
        chain_limit: int,
        on_next: Callable[[Execution], None],
        on_over: Callable[[Execution], None],
    ) -> None:
        """
        Args:
            chain_limit: How many steps of a run may follow its first one here
                before others get their turn; 0 for any number.
            on_next: Takes an execution that goes on with another step.
            on_over: Takes an execution of which nothing is left.
        """
        self._leases = leases
        self._reporter = reporter
        self._releaser = releaser
        self._metrics = metrics
        self._chain_limit = chain_limit
        self._on_next = on_next
        self._on_over = on_over
        self._suspended: dict[str, Callable[[], None]] = {}
        self._draining = False
        self._process_ends = False

    def stop_chaining(self) -> None:
        """Let every run end at the step it is at."""
        self._draining = True

    def stop_suspending(self) -> None:
        """Wait for no renewal any more: the process ends."""
        self._process_ends = True

    def give_back(self, execution: Execution, reason: str) -> None:
        """Release the lease, unless the step has been decided already."""
        if execution.decide() or self._suspended.pop(execution.lease.id, None) is not None:
            self.release(execution, reason)

    def release(self, execution: Execution, reason: str) -> None:
        """Release the lease of a step that the caller has decided."""
        execution.end_trace(f"released: {reason}")
        self._releaser.submit(
            Release(execution.lease, reason, on_answer=lambda: self.settle(execution))
        )

    def report(self, execution: Execution, outcome: dict[str, Any]) -> None:
        """Report the outcome of a step that the caller has decided."""
        step, begun_at = execution.dispatch.step, execution.begun_at
        seconds = 0.0 if begun_at is None else monotonic_seconds() - begun_at
        self._metrics.note_step(step.type, outcome["status"], seconds)
        log.info(
            "step_ended",
            **execution.ids,
            step=step.name,
            index=step.index,
            outcome=outcome["status"],
            message=outcome.get("message"),
        )
        text = report_text(execution.lease, step.index, outcome)
        execution.end_trace(outcome["status"])
        trace = execution.step_trace
        span = None if trace is None else trace.begin_report()

        def answered(answer: ReportResult | Overdue | Unwritten) -> None:
            if isinstance(answer, Overdue):
                self.suspend(execution, send)
            else:
                end_report(span, "refused" if isinstance(answer, Unwritten) else answer.status)
                self._answered(execution, answer)

        def send() -> None:
            chain = self._may_chain(execution)
            self._reporter.submit(Report(execution.lease, text, chain, answered, span))

        send()

    def _may_chain(self, execution: Execution) -> bool:
        within_limit = self._chain_limit == 0 or execution.depth < self._chain_limit
        return within_limit and not self._draining

    def suspend(self, execution: Execution, go_on: Callable[[], None]) -> None:
        """
        Wait until a renewal tells whose the lease is, which is past its own deadline.

        Args:
            execution: Its step is decided: nobody else goes on with it.
            go_on: Called when the lease has been renewed; never when it is lost.
        """
        log.info("suspended", **execution.ids)
        execution.end_trace("suspended")
        self._suspended[execution.lease.id] = go_on
        # Looked at again: both may have come true before anybody waited.
        if self._process_ends:
            self.give_back(execution, Cancellation.DRAINING.value)
        elif not execution.is_overdue():
            self.renewed(execution.lease.id)

    def renewed(self, lease_id: str) -> None:
        """Go on with what waits for the renewal of this lease, if anything does."""
        go_on = self._suspended.pop(lease_id, None)
        if go_on is not None:
            go_on()

    def lost(self, execution: Execution) -> None:
        """Wait no longer for the renewal of a lease that is lost."""
        if execution.lease.id in self._suspended:
            self.settle(execution)

    def settle(self, execution: Execution) -> None:
        """Note that the lease is over; the execution is too when its handler is."""
        self._suspended.pop(execution.lease.id, None)
        self._leases.drop(execution.lease.id)
        execution.end_trace("lease-lost")
        execution.end_lease()
        self.leave_if_over(execution)

    def leave_if_over(self, execution: Execution) -> None:
        """Let the run leave the in-flight set when both its lease and its handler are over."""
        if execution.is_over:
            self._on_over(execution)

    def _answered(self, execution: Execution, answer: ReportResult | Unwritten) -> None:
        if isinstance(answer, Unwritten):
            self._unwritten(execution, answer.refusal)
        elif answer.status == "continue" and answer.next is not None:
            self._go_on(execution, answer.next)
        elif answer.status == "refused":
            self._refused(execution, answer)
        else:
            self.settle(execution)

    def _go_on(self, execution: Execution, following: Dispatch) -> None:
        now = execution.dispatch
        if self._draining:
            self.release(execution, Cancellation.DRAINING.value)
        elif (
            following.run.id != now.run.id
            or following.lease.id != now.lease.id
            or following.step.index <= now.step.index
            or execution.handler_running
        ):
            log.error("dispatch_refused", **execution.ids, step=following.step.name)
            self.release(execution, "bad-dispatch")
        else:
            # What the last step said of itself is not true of the next one.
            self._leases.set_progress(execution.lease.id, None)
            execution.advance(following)
            self._on_next(execution)

    def _unwritten(self, execution: Execution, refusal: RefusedError | None) -> None:
        reason = "it failed here" if refusal is None else str(refusal)
        log.warning("report_not_written", **execution.ids, reason=reason)
        if refusal is None:
            self.settle(execution)
        else:
            self._report_refusal(execution, reason)

    def _refused(self, execution: Execution, result: ReportResult) -> None:
        code = result.problem.code if result.problem else "unknown"
        log.warning("report_refused", **execution.ids, code=code)
        if code in ("lease-lost", "outcome-conflict"):
            self.settle(execution)
        else:
            self._report_refusal(execution, f"the report was refused: {code}")

    def _report_refusal(self, execution: Execution, reason: str) -> None:
        """Report, once, that what the step said of itself was not accepted."""
        if execution.report_refused:
            self.release(execution, "report-refused")
            return
        execution.report_refused = True
        if execution.mutating:
            self.report(execution, outcomes.unknown(reason))
        else:
            self.report(execution, outcomes.error(reason, retryable=False))

"""One run in flight: which step it is at, and what has been decided about it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from executor.deadline import monotonic_seconds
from executor.handlers import StepContext
from executor.in_flight import InFlightRun
from executor.leases import HeldLease
from executor.tracing import StepTrace, ids_of
from executor.wire import Dispatch


class Cancellation(Enum):
    """Why a handler is told to stop. The value is the word in logs and in `/health`."""

    TIMEOUT = "timed-out"
    ABORT = "abort-requested"
    DRAINING = "draining"
    LOST = "lease-lost"
    DEADLINE = "own-deadline"


@dataclass(eq=False)
class Execution:
    """
    The steps of one run that are executed here under one lease, one after another.

    Two things must both be over before the run leaves the in-flight set: the
    handler (it may ignore that it was cancelled) and the lease (its report or
    release may be unanswered). `lock` guards every field below it.

    Attributes:
        depth: How many steps were chained before this one.
        decided: The step's outcome, or that there is none, has been settled; what
            the handler says afterwards is not written.
        lease_over: Reported, released or lost; nothing is left to be said.
        mutating: The step's effect may not be repeated; it was written ahead.
        report_refused: A report of this step was refused for what it says.
        begun_at: When its handler began, on the clock of `executor.deadline`; None: it has not.
        step_trace: The present step's, if there are traces.
    """

    entry: InFlightRun
    lease: HeldLease
    dispatch: Dispatch
    lock: threading.Lock = field(default_factory=threading.Lock)
    depth: int = 0
    context: StepContext | None = None
    interrupt: Callable[[], None] | None = None
    handler_running: bool = False
    decided: bool = False
    lease_over: bool = False
    mutating: bool = False
    report_refused: bool = False
    times_out_at: float | None = None
    timeout_seconds: float | None = None
    cancellation: Cancellation | None = None
    cancelled_at: float = 0.0
    ignoring: bool = False
    begun_at: float | None = None
    step_since: datetime = field(default_factory=lambda: datetime.now(UTC))
    step_trace: StepTrace | None = None

    def begin(self, context: StepContext, *, timeout_seconds: float | None) -> bool:
        """
        Note that the handler begins.

        Returns:
            False if the step was decided before it could begin; it must not.
        """
        with self.lock:
            if self.decided:
                return False
            self.handler_running = True
            self.begun_at = monotonic_seconds()
            self.context = context
            self.timeout_seconds = timeout_seconds
            if timeout_seconds is not None:
                self.times_out_at = monotonic_seconds() + timeout_seconds
            if self.cancellation is not None:
                context.aborted.set()
            return True

    def interrupt_with(self, interrupt: Callable[[], None]) -> None:
        """Note how to interrupt the handler; does so if it is cancelled already."""
        with self.lock:
            self.interrupt = interrupt
            if self.cancellation is None:
                return
        interrupt()

    def cancel(self, cause: Cancellation) -> bool:
        """
        Tell the handler to stop.

        The first cause stays, but for a lost lease: that overrules the others,
        since then nothing may be written. A deadline stops a handler only; what
        has not begun, or waits for an answer, looks at the deadline by itself.

        Returns:
            Whether this call changed anything.
        """
        with self.lock:
            if self.decided:
                return False
            if cause is Cancellation.TIMEOUT and (
                self.times_out_at is None or monotonic_seconds() < self.times_out_at
            ):
                # The step whose time was up has ended; this is the next one.
                return False
            if cause is Cancellation.DEADLINE and not self.handler_running:
                return False
            if self.cancellation is Cancellation.LOST or (
                self.cancellation is not None and cause is not Cancellation.LOST
            ):
                return False
            self.cancellation = cause
            self.cancelled_at = monotonic_seconds()
            context, interrupt = self.context, self.interrupt
        if context is not None:
            context.aborted.set()
        if interrupt is not None:
            interrupt()
        return True

    def handler_ended(self) -> None:
        """Note that the handler has returned."""
        with self.lock:
            self.handler_running = False
            self.interrupt = None
            self.times_out_at = None

    def decide(self) -> bool:
        """
        Take the right to say what becomes of the step.

        Returns:
            False if somebody has it already.
        """
        with self.lock:
            if self.decided:
                return False
            self.decided = True
            return True

    def end_lease(self) -> None:
        """Note that nothing is left to be said to the orchestrator."""
        with self.lock:
            self.decided = True
            self.lease_over = True

    def advance(self, dispatch: Dispatch) -> None:
        """Go on with the next step under the same lease and the same entry."""
        self.start_over()
        with self.lock:
            self.dispatch = dispatch
            self.depth += 1

    def start_over(self) -> None:
        """Let the present step be executed as if it had not begun; its lease has been renewed."""
        with self.lock:
            self.context = None
            self.begun_at = None
            self.decided = False
            self.mutating = False
            self.report_refused = False
            self.timeout_seconds = None
            self.ignoring = False
            self.step_since = datetime.now(UTC)
            if self.cancellation is Cancellation.DEADLINE:
                self.cancellation = None

    def is_overdue(self) -> bool:
        """Whether the lease is past its deadline: nothing may begin or be written now."""
        return monotonic_seconds() > self.lease.deadline

    @property
    def ids(self) -> dict[str, str]:
        """What a log line about it says of whom it is about."""
        ids = {"run_id": self.entry.run_id, "lease_id": self.lease.id}
        if self.step_trace is not None:
            return {**ids, **ids_of(self.step_trace.span)}
        traceparent = self.dispatch.run.traceparent
        # Nothing is sent from here, but who created the run may look for his trace.
        return ids if traceparent is None else {**ids, "trace_id": traceparent[3:35]}

    def end_trace(self, outcome: str) -> None:
        """Say how the step ended, unless that has been said."""
        if self.step_trace is not None:
            self.step_trace.end(outcome)

    @property
    def is_over(self) -> bool:
        """Whether the run can leave the in-flight set."""
        return self.lease_over and not self.handler_running

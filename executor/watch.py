"""The watch: notices what has taken too long, while the heartbeat waits for answers."""

import threading

import structlog

from executor.deadline import monotonic_seconds
from executor.execution import Cancellation, Execution
from executor.leases import HeldLeases
from executor.runner import Runner

log = structlog.get_logger()

TICK_SECONDS = 0.1
GRACE_SECONDS = 1.0
"""How long a handler may take to stop before it counts as ignoring that it was told to."""


class Watch:
    """
    A thread that tells handlers to stop, at their time-out and at a lease's deadline, and
    has those given back that have waited their turn for too long.
    """

    def __init__(self, runner: Runner, leases: HeldLeases) -> None:
        self._runner = runner
        self._leases = leases
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(TICK_SECONDS):
            if not self._runner.executions():
                self._leases.wait_for_need(timeout_seconds=1.0)
            try:
                self.look(monotonic_seconds())
            except Exception:  # Without a watch nothing would end at its deadline.
                log.exception("watch_failed")

    def look(self, now: float) -> None:
        """Tell everything to stop whose time is up at `now`."""
        for lease in self._leases.overdue(now):
            self._runner.cancel(lease.id, Cancellation.DEADLINE)
        for execution in self._runner.executions():
            self._look_at(execution, now)
        self._runner.give_back_stranded(now)

    def _look_at(self, execution: Execution, now: float) -> None:
        times_out_at = execution.times_out_at
        if not execution.handler_running:
            return
        if execution.cancellation is None:
            if times_out_at is not None and now > times_out_at:
                self._runner.cancel(execution.lease.id, Cancellation.TIMEOUT)
        elif not execution.ignoring and now > execution.cancelled_at + GRACE_SECONDS:
            self._runner.note_ignoring(execution)

"""The runs this executor has taken: who gets a slot, who waits, who has to stop."""

import threading

import structlog

from executor.client import Orchestrator
from executor.deadline import monotonic_seconds
from executor.ending import Ending
from executor.execution import Cancellation, Execution
from executor.handlers import App
from executor.in_flight import InFlightRun, InFlightRuns, RunAlreadyInFlightError
from executor.leases import HeldLease, HeldLeases
from executor.metrics import Metrics
from executor.pace import Pace
from executor.releaser import Release, Releaser
from executor.reporter import Reporter
from executor.stepper import Stepper
from executor.tracing import Tracing
from executor.turns import Turns
from executor.wire import Dispatch
from executor.workers import Workers

log = structlog.get_logger()

LOOK_AGAIN_SECONDS = 0.05
LET_BEGIN_SECONDS = 0.005
"""A thread that is woken comes within a tenth of a millisecond, unless the machine is busy."""
NO_SLOT = "no-slot"
"""Why a run is given back that has waited its turn for too long."""


class Runner:
    """
    Executes at most `slots` runs at a time.

    Polls bring a few more than that while there is a backlog of runs that are
    done quickly (`pace`), and a trigger may take a slot while a poll is parked.
    A run that finds none free waits its turn here, renewed like the others, but no
    longer than a third of a lease: then it is given back for somebody who has one.
    """

    def __init__(
        self,
        app: App,
        orchestrator: Orchestrator,
        in_flight: InFlightRuns,
        leases: HeldLeases,
        reporter: Reporter,
        releaser: Releaser,
        metrics: Metrics,
        *,
        slots: int,
        lease_seconds: float,
        chain_limit: int,
        tracing: Tracing,
    ) -> None:
        self.slots = slots
        self._in_flight = in_flight
        self._leases = leases
        self._releaser = releaser
        self._ending = Ending(
            leases,
            reporter,
            releaser,
            metrics,
            chain_limit=chain_limit,
            on_next=lambda execution: self._stepper.execute(execution),
            on_over=self._leave,
        )
        self._workers = Workers(slots)
        self._stepper = Stepper(app, orchestrator, leases, self._workers, self._ending, tracing)
        self._changed = threading.Condition(threading.RLock())
        self._executions: dict[str, Execution] = {}
        self._turns = Turns(slots, Pace(lease_seconds))
        self._longest_wait_seconds = lease_seconds / 3
        self._behind_a_trigger: dict[str, tuple[Dispatch, HeldLease]] = {}
        self.draining = False

    @property
    def free_slots(self) -> int:
        return max(0, self.slots - len(self._in_flight))

    def wait_for_room(self, timeout_seconds: float, *, ahead: bool) -> int:
        """
        Wait until a claim is worth its way.

        Args:
            ahead: Whether runs may be claimed that will wait for a slot here.

        Returns:
            How many runs to claim, no more than there are slots.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._room(ahead=ahead) > 0, timeout_seconds)
            return self._room(ahead=ahead)

    def _room(self, *, ahead: bool) -> int:
        may_wait = self._turns.ahead(monotonic_seconds()) if ahead else 0
        room = self.slots + may_wait - len(self._in_flight)
        # One free slot is worth a claim; of those that may wait, half of them are.
        return min(self.slots, room) if 2 * room > may_wait else 0

    def executions(self) -> list[Execution]:
        """What is executed or waits its turn, in no order."""
        with self._changed:
            return list(self._executions.values())

    def begin(self, dispatch: Dispatch, lease: HeldLease, entry: InFlightRun | None = None) -> None:
        """
        Execute a claimed run.

        Args:
            lease: Its lease, named by renewals already.
            entry: The reservation of the trigger that claimed it; a run that was
                polled for has none and is entered here.
        """
        if entry is None:
            entry = self._enter(dispatch, lease)
        if entry is None:
            return
        entry.queue = dispatch.run.queue
        execution = Execution(entry, lease, dispatch)
        with self._changed:
            self._executions[lease.id] = execution
            self._turns.line_up(execution, monotonic_seconds())
            if not self._leases.holds(lease.id):
                # Lost since it arrived: no renewal would ever say so again.
                self._ending.settle(execution)
            elif self.draining:
                self._ending.give_back(execution, Cancellation.DRAINING.value)
            else:
                self._take_turns()

    def let_begin(self) -> None:
        """Let what was begun last reach its handler first, before the caller goes on."""
        self._workers.let_begin(LET_BEGIN_SECONDS)

    def abandon(self, entry: InFlightRun) -> None:
        """Take back a trigger's reservation whose claim brought nothing."""
        self._vacate(entry)
        with self._changed:
            self._changed.notify_all()

    def cancel(self, lease_id: str, cause: Cancellation) -> None:
        """Tell the handler under a lease to stop, for this cause."""
        with self._changed:
            execution = self._executions.get(lease_id)
            if execution is None and cause is Cancellation.LOST:
                self._leases.drop(lease_id)
        if execution is None:
            # Not begun yet. Past its own deadline it is named on like any other: a
            # renewal may have confirmed it, and nobody else would ever free it.
            return
        if not execution.cancel(cause):
            if cause is Cancellation.LOST:
                self._ending.lost(execution)
            return
        log.info("cancelled", **execution.ids, cause=cause.value)
        if cause is Cancellation.LOST:
            self._ending.settle(execution)
        elif self._turns.is_waiting(execution):
            self._ending.give_back(execution, cause.value)

    def give_back_stranded(self, now: float) -> None:
        """Give back what no slot has become free for in time."""
        # Together: what has been given a slot meanwhile is nobody's to give back.
        with self._changed:
            for execution in self._turns.waiting_since(now - self._longest_wait_seconds):
                self._turns.leave(execution, now)
                self._ending.give_back(execution, NO_SLOT)

    def renewed(self, lease_id: str) -> None:
        """Go on with what could not be written before this lease was renewed."""
        self._ending.renewed(lease_id)

    def note_ignoring(self, execution: Execution) -> None:
        """Note that a handler ignores that it was told to stop."""
        execution.ignoring = True
        cause = execution.cancellation
        log.warning(
            "handler_ignores_cancellation",
            **execution.ids,
            step=execution.dispatch.step.name,
            cause=cause.value if cause else None,
        )
        if cause is Cancellation.TIMEOUT:
            self._stepper.time_out(execution)

    def drain(self) -> None:
        """Begin nothing more; give back what waits its turn."""
        self._ending.stop_chaining()
        with self._changed:
            self.draining = True
            waiting = self._turns.waiting()
        for execution in waiting:
            self._ending.give_back(execution, Cancellation.DRAINING.value)

    def release_running(self) -> None:
        """Give back what is still being executed, whether its handler stops or not."""
        self._ending.stop_suspending()
        for execution in self.executions():
            self._ending.give_back(execution, Cancellation.DRAINING.value)

    def wait_until_idle(self, timeout_seconds: float, *, leases_only: bool = False) -> bool:
        """
        Wait until nothing is in flight.

        Args:
            leases_only: Do not wait for handlers that ignore their cancellation.
        """

        def idle() -> bool:
            return all(leases_only and one.lease_over for one in self._executions.values())

        until = monotonic_seconds() + timeout_seconds
        with self._changed:
            while not idle():
                if monotonic_seconds() >= until:
                    return False
                # A lease's end is not announced here, only an execution's.
                self._changed.wait(LOOK_AGAIN_SECONDS)
            return True

    def _enter(self, dispatch: Dispatch, lease: HeldLease) -> InFlightRun | None:
        run = dispatch.run
        try:
            return self._in_flight.reserve(run.id, queue=run.queue)
        except RunAlreadyInFlightError as refused:
            held = refused.held
        if held.queue is not None:
            # An earlier lease's handler that does not stop: this one is not ours to begin.
            log.warning("claimed_while_in_flight", run_id=run.id, lease_id=lease.id)
            self._releaser.submit(
                Release(lease, "in-flight-here", on_answer=lambda: self._leases.drop(lease.id))
            )
            return None
        # A trigger is asking for the run that this poll has brought: its claim
        # will be refused, and then this one goes ahead.
        self._behind_a_trigger[run.id] = (dispatch, lease)
        if self._in_flight.find(run.id) is held:
            return None
        behind = self._behind_a_trigger.pop(run.id, None)
        return None if behind is None else self._enter(*behind)

    def _leave(self, execution: Execution) -> None:
        with self._changed:
            if self._executions.pop(execution.lease.id, None) is None:
                return
            self._turns.leave(execution, monotonic_seconds())
            self._vacate(execution.entry)
            self._take_turns()
            self._changed.notify_all()

    def _vacate(self, entry: InFlightRun) -> None:
        self._in_flight.remove(entry)
        dispatch, lease = self._behind_a_trigger.pop(entry.run_id, (None, None))
        if dispatch and lease and self._leases.holds(lease.id):
            self.begin(dispatch, lease)

    def _take_turns(self) -> None:
        now = monotonic_seconds()
        while not self.draining and (execution := self._turns.take(now)) is not None:
            self._stepper.execute(execution)

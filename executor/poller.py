"""The poller: claims runs for the free slots, and a few ahead."""

import random
import threading
from collections.abc import Sequence
from uuid import uuid4

import structlog

from executor.arrival import Arrival
from executor.client import Orchestrator
from executor.deadline import monotonic_seconds
from executor.leases import HeldLeases
from executor.metrics import Metrics
from executor.retry import until_answered
from executor.runner import Runner
from executor.tracing import Tracing, within
from executor.transport import RefusedError, UnansweredError
from executor.wire import Claimed, OutOfService

log = structlog.get_logger()

WAIT_SECONDS = 20
RUNS_PER_CLAIM = 500
SHORT_PAUSE_SECONDS = 0.25
"""Kept after an empty answer that came at once, whatever it says."""


class Poller:
    """
    A thread that keeps one claim parked at the orchestrator while there is room for a run.

    A claim is repeated under its request id until it is answered: runs that
    were granted in a lost reply come with the repeat.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        leases: HeldLeases,
        runner: Runner,
        metrics: Metrics,
        *,
        queues: Sequence[str],
        lease_seconds: int,
        poll_interval_seconds: float,
        tracing: Tracing,
    ) -> None:
        self._orchestrator = orchestrator
        self._leases = leases
        self._runner = runner
        self._metrics = metrics
        self._queues = queues
        self._lease_seconds = lease_seconds
        self._poll_interval_seconds = poll_interval_seconds
        self._tracing = tracing
        self._out_of_service: OutOfService | None = None
        # Whether the last claim got all it asked for. Without a backlog nothing is claimed
        # ahead: it would be kept from another executor's free slot.
        self._backlog = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)

    @property
    def orchestrator_is_away(self) -> bool:
        """Whether the last claim went unanswered."""
        return self._orchestrator.is_away

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send no new claim; one that is parked is left to be answered."""
        self._stopped.set()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until the last claim is answered, and say whether it is."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopped.is_set():
            room = self._runner.wait_for_room(timeout_seconds=1.0, ahead=self._backlog)
            if room > 0 and not self._stopped.is_set():
                self._stopped.wait(self._poll_safely(room))

    def _poll_safely(self, room: int) -> float:
        try:
            return self.poll(room)
        except RefusedError as refusal:
            self._metrics.claims.add("refused")
            log.error("claim_refused", status=refusal.status, code=refusal.code)
            return refusal.retry_after_seconds or self._poll_interval_seconds
        except UnansweredError as unanswered:
            self._metrics.claims.add("unanswered")
            log.warning("claim_given_up", reason=str(unanswered))
        except Exception:  # A poller that dies at a surprise would leave an idle executor.
            self._metrics.claims.add("failed")
            log.exception("poll_failed")
        return self._poll_interval_seconds

    def poll(self, room: int) -> float:
        """
        Claim once and begin what was granted.

        Returns:
            Seconds until the orchestrator wants to be asked again.

        Raises:
            RefusedError: Nothing was claimed.
            UnansweredError: The poller was stopped before an answer came.
        """
        request_id = str(uuid4())
        limit = min(room, RUNS_PER_CLAIM)
        began_at = monotonic_seconds()
        claim_trace = self._tracing.claim()

        def attempt() -> Claimed:
            claim.note_attempt()
            return self._orchestrator.claim(
                request_id=request_id,
                queues=self._queues,
                limit=limit,
                lease_seconds=self._lease_seconds,
                wait_seconds=WAIT_SECONDS,
            )

        with (
            self._leases.claiming(request_id) as claim,
            within(claim_trace.span if claim_trace else None),
        ):
            claimed = until_answered(
                attempt,
                give_up=self._stopped.is_set,
                longest_pause_seconds=self._poll_interval_seconds,
            )
            self._backlog = len(claimed.dispatches) >= limit
            arrival = Arrival(
                self._leases,
                claimed.dispatches,
                sent_at=claim.sent_at,
                claim_trace=claim_trace,
            )
        self._metrics.claims.add("granted" if claimed.dispatches else "empty")
        self._metrics.claimed_runs.add("poll", len(claimed.dispatches))
        self._metrics.claim_repeats.inc(claim.attempts - 1)
        for dispatch, lease in arrival.confirmed(self._orchestrator):
            log.debug("claimed", run_id=dispatch.run.id, lease_id=lease.id)
            self._runner.begin(dispatch, lease)
        if not self._backlog:
            # A claim that brings less than it asked for is followed by one that is parked:
            # there is time for that, and somebody waits for this run.
            self._runner.let_begin()
        self._note_service(claimed.out_of_service)
        if not claimed.dispatches and (monotonic_seconds() - began_at < SHORT_PAUSE_SECONDS):
            jittered = random.uniform(SHORT_PAUSE_SECONDS / 2, SHORT_PAUSE_SECONDS)  # noqa: S311
            return max(jittered, claimed.next_poll_after_ms / 1000)
        return claimed.next_poll_after_ms / 1000

    def _note_service(self, out: OutOfService | None) -> None:
        """Say it once when the orchestrator takes this executor out of service or puts it back."""
        if out != self._out_of_service:
            if out:
                log.warning("out_of_service", state=out.state, reason=out.reason)
            else:
                log.info("in_service_again")
            self._out_of_service = out

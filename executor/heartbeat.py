"""The heartbeat: renews every lease this process holds, in one request."""

import threading
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import orjson
import structlog

from executor.client import Orchestrator
from executor.deadline import monotonic_seconds
from executor.leases import HeldLease, HeldLeases
from executor.metrics import Metrics
from executor.retry import LONGEST_RETRY_AFTER_SECONDS
from executor.transport import RefusedError, UnansweredError

log = structlog.get_logger()

LONGEST_PERIOD_SECONDS = 10.0
FIRST_BEAT_SECONDS = 0.5
"""After an idle time: a run that is shorter than this costs no renewal."""
URGENT_PERIOD_SECONDS = 0.2
"""While nothing is held and there may be orphans: three beats and they are gone."""
SETTLING_PERIOD_SECONDS = 3.0
"""While orphans may still come, or are kept for an amnesty."""

LEASES_PER_REQUEST = 500
PROGRESS_BYTES_PER_REQUEST = 256 * 1024


class Heartbeat:
    """
    A thread and a connection pool of its own, so that no handler can hold it up.

    It beats every third of the shortest lease, at most 10 s apart, while a lease
    is held, and more often while the end of a claim is not settled. An executor
    that holds nothing and whose claims are answered the first time costs no beat.
    A lease past its own deadline is named on: after an outage it is ours still,
    unless the answer says otherwise. What it learns it passes on: leases that are
    renewed, that are lost, and whose run shall stop.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        leases: HeldLeases,
        metrics: Metrics,
        *,
        on_renewed: Callable[[str], None],
        on_lost: Callable[[str], None],
        on_abort: Callable[[str], None],
    ) -> None:
        self._orchestrator = orchestrator
        self._leases = leases
        self._metrics = metrics
        self._on_renewed = on_renewed
        self._on_lost = on_lost
        self._on_abort = on_abort
        self._as_of: str | None = None
        self._orphans_kept = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the renewal that is on its way."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            if not self._leases.needs_renewals:
                if self._leases.wait_for_need(timeout_seconds=1.0):
                    self._stopped.wait(min(self._period_seconds(), FIRST_BEAT_SECONDS))
                continue
            was_urgent = self._leases.settling_is_urgent
            due_at = self.beat_safely()
            self._wait_until(due_at, or_urgent=not was_urgent)

    def _wait_until(self, due_at: float, *, or_urgent: bool) -> None:
        """Wait for the next beat, or no longer than until there is something to settle."""
        while not self._stopped.is_set() and (left := due_at - monotonic_seconds()) > 0:
            if not or_urgent:
                self._stopped.wait(left)
            elif self._leases.wait_until_urgent(min(left, 1.0)):
                return

    def beat_safely(self) -> float:
        """Beat, and say when to beat again."""
        began_at = monotonic_seconds()
        try:
            self.beat()
        except UnansweredError as error:
            self._metrics.heartbeats.add("unanswered")
            log.warning("renewal_unanswered", reason=str(error))
            return self._again_at(error.retry_after_seconds)
        except RefusedError as error:
            self._metrics.heartbeats.add("refused")
            log.error("renewal_refused", status=error.status, code=error.code)
            return self._again_at(error.retry_after_seconds)
        except Exception:  # A heart that stops at a surprise would cost every lease.
            self._metrics.heartbeats.add("failed")
            log.exception("renewal_failed")
            return self._again_at(None)
        self._metrics.heartbeats.add("answered")
        self._metrics.heartbeat_at.set_to_current_time()
        return max(began_at + self._period_seconds(), monotonic_seconds() + 0.05)

    def _period_seconds(self) -> float:
        shortest = self._leases.shortest_seconds()
        if shortest is not None:
            longest = (
                SETTLING_PERIOD_SECONDS if self._leases.is_settling else LONGEST_PERIOD_SECONDS
            )
            return min(shortest / 3, longest)
        if self._leases.settling_is_urgent and not self._orphans_kept:
            return URGENT_PERIOD_SECONDS
        return SETTLING_PERIOD_SECONDS

    def _again_at(self, retry_after_seconds: float | None) -> float:
        """When to beat again after a beat that renewed nothing, and a Retry-After with it."""
        now = monotonic_seconds()
        asked = min(retry_after_seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        left = self._leases.shortest_left_seconds(now)
        if left is None:
            return now + max(SETTLING_PERIOD_SECONDS / 4, asked)
        period = self._period_seconds()
        # Two more beats must have their chance before the first lease is past its own
        # deadline. After it the work has stopped, and there is an amnesty to be in time
        # for: no later than a beat that is answered.
        latest = left / 3 if left > 0 else period
        return now + max(period / 4, min(asked, latest))

    def beat(self) -> None:
        """
        Renew everything once and pass on what was learnt.

        Raises:
            UnansweredError: Nothing was learnt; deadlines stay where they are.
            RefusedError: The orchestrator refused the whole request.
        """
        # Read before the names: what was granted before `asOf` is then either
        # named below, or its claim is, or it is an orphan.
        as_of, composed_at = self._as_of, monotonic_seconds()
        claiming, leases = self._leases.names()
        parts = [
            leases[start : start + LEASES_PER_REQUEST]
            for start in range(0, len(leases), LEASES_PER_REQUEST)
        ] or [()]
        if len(parts) > 1:
            for part in parts:
                # A part does not name the others' leases, so it must free nothing.
                self._renew(part, claiming, None)
            return
        self._orphans_kept = self._renew(parts[0], claiming, as_of)
        if not self._orphans_kept:
            self._leases.renewed(composed_at)

    def _renew(
        self, leases: Sequence[HeldLease], claiming: Sequence[str], as_of: str | None
    ) -> bool:
        """Renew these; says whether the orchestrator keeps orphans of ours that it may not free."""
        answer_seconds = min((lease.seconds for lease in leases), default=10.0) / 2
        told = _progress_to_tell(leases)
        sent_at = monotonic_seconds()
        answer = self._orchestrator.renew(
            [_named(lease, told.get(lease.id)) for lease in leases],
            claiming=claiming,
            as_of=as_of,
            request_id=str(uuid4()),
            answer_seconds=min(max(answer_seconds, 1.0), LONGEST_PERIOD_SECONDS),
        )
        self._as_of = answer.server_time
        # The lease of an aborted run goes no further than one lease after the request.
        aborted = set(answer.abort)
        renewed = [one.lease_id for one in answer.renewed if one.lease_id not in aborted]
        self._leases.extend(renewed, sent_at)
        self._leases.progress_told(told)
        self._metrics.lost.inc(len(answer.lost))
        if answer.released:
            self._metrics.orphans.inc(len(answer.released))
            log.info("orphans_released", run_ids=answer.released)
        for lease_id in renewed:
            self._on_renewed(lease_id)
        for lease_id in answer.lost:
            self._on_lost(lease_id)
        for lease_id in answer.abort:
            self._on_abort(lease_id)
        return answer.orphans_kept


def _progress_to_tell(leases: Sequence[HeldLease]) -> dict[str, bytes]:
    """What the handlers under these leases last said, as much as a body has room for."""
    told: dict[str, bytes] = {}
    room = PROGRESS_BYTES_PER_REQUEST
    for lease in leases:
        progress = lease.progress
        if progress is not None and len(progress) <= room:
            told[lease.id] = progress
            room -= len(progress)
    return told


def _named(lease: HeldLease, progress: bytes | None) -> dict[str, Any]:
    """A lease as the wire names it."""
    named: dict[str, Any] = {"leaseId": lease.id, "runId": lease.run_id}
    if progress is not None:
        named["progress"] = orjson.Fragment(progress)
    return named

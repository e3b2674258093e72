"""The releaser: gives leases back that will not be reported on."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import structlog

from executor.client import Orchestrator
from executor.deadline import monotonic_seconds
from executor.leases import HeldLease
from executor.metrics import Metrics
from executor.retry import until_answered
from executor.transport import RefusedError
from executor.wire import Released

log = structlog.get_logger()

RELEASES_PER_REQUEST = 500


@dataclass(frozen=True)
class Release:
    """One lease to give back; `on_answer` is called once, whatever the answer."""

    lease: HeldLease
    reason: str
    on_answer: Callable[[], None]


class Releaser:
    """Releases in the background, each until it is answered or its lease is past."""

    def __init__(self, orchestrator: Orchestrator, metrics: Metrics) -> None:
        self._orchestrator = orchestrator
        self._metrics = metrics
        self._queue: queue.SimpleQueue[Release] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="releaser", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, release: Release) -> None:
        """Give a lease back with the next request."""
        self._queue.put(release)

    def _run(self) -> None:
        while True:
            waiting = [self._queue.get()]
            while len(waiting) < RELEASES_PER_REQUEST and not self._queue.empty():
                waiting.append(self._queue.get())
            for reason in dict.fromkeys(release.reason for release in waiting):
                self._send([one for one in waiting if one.reason == reason], reason)

    def _send(self, releases: list[Release], reason: str) -> None:
        self._metrics.releases.add(reason, len(releases))
        runs = [one.lease.run_id for one in releases]
        request_id = str(uuid4())

        def attempt() -> Released:
            now = monotonic_seconds()
            named = [
                {"leaseId": one.lease.id, "runId": one.lease.run_id}
                for one in releases
                if now <= one.lease.deadline
            ]
            if not named:
                return Released()
            return self._orchestrator.release(named, reason, request_id=request_id)

        try:
            answer = until_answered(attempt, give_up=lambda: False)
        except RefusedError as error:
            log.warning("release_refused", run_ids=runs, reason=reason, error=str(error))
        except Exception:  # The next release must still be sent.
            log.exception("release_failed", run_ids=runs, reason=reason)
        else:
            log.info("released", run_ids=answer.released, reason=reason, lost=len(answer.lost))
        for one in releases:
            try:
                one.on_answer()
            except Exception:  # The others' answers, and the next release, must still come.
                log.exception("release_not_settled", run_id=one.lease.run_id)

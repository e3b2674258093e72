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
from executor.transport import RefusedError, UnansweredError

log = structlog.get_logger()

LONGEST_PERIOD_SECONDS = 10.0
FIRST_BEAT_SECONDS = 0.5
"""After an idle time: a run that is shorter than this costs no renewal."""
ORPHANS_KEPT_PERIOD_SECONDS = 2.0

LEASES_PER_REQUEST = 500
PROGRESS_BYTES_PER_REQUEST = 256 * 1024


class Heartbeat:
    """
    A thread and a connection pool of its own, so that no handler can hold it up.

    It beats every third of the shortest lease, at most 10 s apart, while a lease
    is held or a claim given up is not settled. A lease past its own deadline is
    named on: after an outage it is ours still, unless the answer says otherwise.
    What it learns it passes on: leases that are renewed, that are lost, and
    whose run shall stop.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        leases: HeldLeases,
        *,
        on_renewed: Callable[[str], None],
        on_lost: Callable[[str], None],
        on_abort: Callable[[str], None],
    ) -> None:
        self._orchestrator = orchestrator
        self._leases = leases
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
            began_at = monotonic_seconds()
            answered = self._beat_safely()
            period = self._period_seconds()
            pause = began_at + (period if answered else period / 4) - monotonic_seconds()
            self._stopped.wait(max(pause, 0.05))

    def _period_seconds(self) -> float:
        shortest = self._leases.shortest_seconds()
        if shortest is None:
            # Only claims given up are left to settle: soon done, but for an amnesty.
            return ORPHANS_KEPT_PERIOD_SECONDS if self._orphans_kept else 0.2
        return min(shortest / 3, LONGEST_PERIOD_SECONDS)

    def _beat_safely(self) -> bool:
        try:
            self.beat()
        except UnansweredError as error:
            log.warning("renewal-unanswered", reason=str(error))
            return False
        except RefusedError as error:
            log.error("renewal-refused", status=error.status, code=error.code)
            return False
        except Exception:  # A heart that stops at a surprise would cost every lease.
            log.exception("renewal-failed")
            return False
        return True

    def beat(self) -> None:
        """
        Renew everything once and pass on what was learnt.

        Raises:
            UnansweredError: Nothing was learnt; deadlines stay where they are.
            RefusedError: The orchestrator refused the whole request.
        """
        # Read before the names: what was granted before `asOf` is then either
        # named below, or its claim is, or it is an orphan.
        as_of = self._as_of
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
            self._leases.renewed()

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
        if answer.released:
            log.info("orphans-released", runs=answer.released)
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

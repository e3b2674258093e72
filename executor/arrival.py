"""Runs that have just been claimed, until they may begin."""

from collections.abc import Sequence
from uuid import uuid4

import structlog

from executor.client import Orchestrator
from executor.deadline import monotonic_seconds
from executor.leases import HeldLease, HeldLeases
from executor.retry import until_answered
from executor.tracing import ClaimTrace
from executor.transport import RefusedError, UnansweredError
from executor.wire import Dispatch, Renewed

log = structlog.get_logger()


class Arrival:
    """
    The runs of one answered claim.

    Their leases count from when the claim was sent, which is safe and, of a
    claim that was parked for long, useless: too little may be left, and nobody
    here can know how much. Such leases are renewed before their runs begin.
    When that goes unanswered nothing is lost: they are held and named all the
    time, and a run whose lease is past its own deadline waits for the heartbeat.
    """

    def __init__(
        self,
        leases: HeldLeases,
        dispatches: Sequence[Dispatch],
        *,
        sent_at: float,
        claim_trace: ClaimTrace | None = None,
    ) -> None:
        """
        Hold the leases; to be done before the claim is named no longer.

        Args:
            sent_at: When the claim's answered attempt was sent.
        """
        claimed_in = None
        if claim_trace is not None:
            claimed_in = claim_trace.span.get_span_context()
            claim_trace.granted(dispatches)
        self._leases = leases
        now = monotonic_seconds()
        shortest = min((dispatch.lease.seconds for dispatch in dispatches), default=now)
        self._is_late = now > sent_at + shortest / 3
        self._held = [
            (dispatch, leases.hold(dispatch, sent_at, claimed_in)) for dispatch in dispatches
        ]

    def confirmed(self, orchestrator: Orchestrator) -> list[tuple[Dispatch, HeldLease]]:
        """The runs to begin; leases that are not ours any more are dropped."""
        if self._is_late and self._held:
            self._renew(orchestrator, [lease for _, lease in self._held])
        return [(dispatch, lease) for dispatch, lease in self._held if self._leases.holds(lease.id)]

    def _renew(self, orchestrator: Orchestrator, leases: Sequence[HeldLease]) -> None:
        named = [{"leaseId": lease.id, "runId": lease.run_id} for lease in leases]
        request_id = str(uuid4())
        sent_at = monotonic_seconds()

        def attempt() -> Renewed:
            nonlocal sent_at
            sent_at = monotonic_seconds()
            return orchestrator.renew(
                named,
                claiming=(),
                as_of=None,
                request_id=request_id,
                answer_seconds=max(1.0, min(lease.seconds for lease in leases) / 3),
            )

        last_deadline = max(lease.deadline for lease in leases)
        try:
            answer = until_answered(attempt, give_up=lambda: monotonic_seconds() > last_deadline)
        except (RefusedError, UnansweredError) as error:
            # An attempt may have confirmed the runs, which keeps them from being orphans:
            # were they dropped here, nothing would free them before their leases' end.
            log.warning("claim_not_confirmed", reason=str(error))
            return
        renewed = {renewal.lease_id for renewal in answer.renewed}
        self._leases.extend(renewed, sent_at)
        for lease in leases:
            if lease.id not in renewed:
                self._leases.drop(lease.id)

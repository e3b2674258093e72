"""The trigger: takes one run on somebody's behalf, if it may be had."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import structlog

from executor.arrival import Arrival
from executor.callers import Callers, NotAuthenticatedError, digest_of
from executor.client import Orchestrator
from executor.deadline import monotonic_seconds
from executor.in_flight import InFlightRun, InFlightRuns, RunAlreadyInFlightError
from executor.leases import HeldLeases
from executor.retry import until_answered
from executor.runner import Runner
from executor.strangers import TooManyStrangersError
from executor.tracing import Tracing, within
from executor.transport import RefusedError, UnansweredError
from executor.wire import Caller, Dispatch

log = structlog.get_logger()

PATIENCE_SECONDS = 5.0
"""How long an unanswered claim is repeated before the caller is told 503."""

_CLAIM_REFUSALS = {
    "run-not-claimable": 404,
    "run-not-found": 404,
    "run-held": 409,
    "run-over": 410,
}


class TriggerRefusedError(Exception):
    """The run was not triggered. `status` and `code` are what the caller is told."""

    def __init__(
        self, status: int, code: str, message: str, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class Trigger:
    """
    Claims a run by its id for a caller and begins it.

    The checks stand in the order of what they cost: who is asking, which is
    remembered; whether the run is in flight here, which needs no call; whether
    there is room. Only the claim after them decides anything.
    """

    orchestrator: Orchestrator
    callers: Callers
    in_flight: InFlightRuns
    leases: HeldLeases
    runner: Runner
    lease_seconds: int
    in_flight_status: int
    tracing: Tracing

    def identify(self, token: str | None, address: str) -> Caller:
        """
        Who is asking.

        Args:
            address: Where the request came from.

        Raises:
            TriggerRefusedError: 401, 403, 429 for strangers that are too many, or 503
                while nobody can be asked.
        """
        try:
            return self.callers.identify(token, address)
        except NotAuthenticatedError:
            raise TriggerRefusedError(
                401, "unauthenticated", "Send one valid token: Authorization: Bearer dibs_…"
            ) from None
        except TooManyStrangersError as many:
            raise TriggerRefusedError(
                429, "rate_limited", str(many), many.retry_after_seconds
            ) from None
        except RefusedError as refusal:
            raise _refused(refusal) from None
        except UnansweredError as unanswered:
            raise _away(unanswered) from None

    def fire(
        self,
        run_id: str,
        token: str,
        caller: Caller,
        pending_data: Mapping[str, Any],
        *,
        traceparent: str | None,
    ) -> None:
        """
        Claim a run and begin it; returns as soon as it is claimed.

        Args:
            pending_data: ``{"input": …}`` for a run that waits for input, else empty.
            traceparent: The span of the caller's that the claim is a part of.

        Raises:
            TriggerRefusedError: The run was not begun by this call.
        """
        digest = digest_of(token)
        self._refuse_duplicate(self.in_flight.find(run_id), caller, digest)
        if self.runner.draining:
            raise TriggerRefusedError(503, "draining", "This executor is being stopped.", 1.0)
        if not self.runner.free_slots:
            raise TriggerRefusedError(503, "no_free_slot", "This executor has no free slot.", 1.0)
        entry = self._reserve(run_id, caller, digest)
        try:
            with self.tracing.caused_by(traceparent):
                self._claim(run_id, token, pending_data, entry)
        except BaseException as error:
            if entry is not None:
                self.runner.abandon(entry)
            # A poll may have brought the run while this trigger was asking for it.
            self._refuse_duplicate(self.in_flight.find(run_id), caller, digest)
            if isinstance(error, RefusedError):
                raise _refused(error) from None
            if isinstance(error, UnansweredError):
                raise _away(error) from None
            raise

    def _reserve(self, run_id: str, caller: Caller, digest: bytes) -> InFlightRun | None:
        try:
            return self.in_flight.reserve(run_id, reserved_for=digest)
        except RunAlreadyInFlightError as held:
            self._refuse_duplicate(held.held, caller, digest)
            # The run is another's, or may be: only the orchestrator can tell
            # this caller anything about it.
            return None

    def _refuse_duplicate(self, held: InFlightRun | None, caller: Caller, digest: bytes) -> None:
        if held is None:
            return
        by_same_caller = held.queue is None and held.reserved_for == digest
        if by_same_caller or (held.queue is not None and caller.may_see(held.queue)):
            refused = RunAlreadyInFlightError(held)
            log.info("trigger_refused", run_id=held.run_id, code=refused.code)
            raise TriggerRefusedError(self.in_flight_status, refused.code, str(refused))

    def _claim(
        self,
        run_id: str,
        token: str,
        pending_data: Mapping[str, Any],
        entry: InFlightRun | None,
    ) -> None:
        request_id = str(uuid4())
        patient_until = monotonic_seconds() + PATIENCE_SECONDS
        claim_trace = self.tracing.claim()

        def attempt() -> Dispatch:
            claim.note_attempt()
            return self.orchestrator.claim_run(
                run_id,
                request_id=request_id,
                lease_seconds=self.lease_seconds,
                caller_token=token,
                pending_data=pending_data,
            )

        with (
            self.leases.claiming(request_id) as claim,
            within(claim_trace.span if claim_trace else None),
        ):
            dispatch = until_answered(attempt, give_up=lambda: monotonic_seconds() > patient_until)
            arrival = Arrival(
                self.leases, [dispatch], sent_at=claim.sent_at, claim_trace=claim_trace
            )
        confirmed = arrival.confirmed(self.orchestrator)
        if not confirmed:
            raise UnansweredError("the claim's answer came too late")
        log.info("triggered", run_id=run_id, lease_id=dispatch.lease.id)
        self.runner.begin(*confirmed[0], entry)


def _refused(refusal: RefusedError) -> TriggerRefusedError:
    if refusal.status == 401 and not refusal.blames_caller:
        # This executor's own token: whoever triggers can do nothing about it, here.
        log.error("trigger_unanswered", reason=str(refusal))
        return TriggerRefusedError(
            503, "orchestrator_unavailable", "The orchestrator does not know this executor.", 1.0
        )
    status = _CLAIM_REFUSALS.get(refusal.code, refusal.status)
    if refusal.code == "run-not-claimable":
        return TriggerRefusedError(404, "run_not_claimable", str(refusal))
    code = refusal.code.replace("-", "_")
    return TriggerRefusedError(status, code, str(refusal), refusal.retry_after_seconds)


def _away(unanswered: UnansweredError) -> TriggerRefusedError:
    log.warning("trigger_unanswered", reason=str(unanswered))
    retry_after = unanswered.retry_after_seconds or 1.0
    return TriggerRefusedError(
        503, "orchestrator_unavailable", "The orchestrator does not answer.", retry_after
    )

"""Signs of life of the adapter's executors: what they ask while they execute a step.

None of them is a heartbeat, so each makes the lease as long as the step may take. The one
before a write is its write-ahead as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.desk.compat_claims import long_seconds
from orchestrator.desk.leases import LeaseDesk
from orchestrator.errors import DispatchOver, LeaseLost
from orchestrator.store import compat_runs
from orchestrator.store.engine import Database
from orchestrator.store.leases import HeldLease
from orchestrator.store.transaction import transact


@dataclass(frozen=True, slots=True)
class HandedStep:
    """A step, and the fence of the lease under which it was handed over."""

    index: int
    fence: int


@dataclass(frozen=True, slots=True)
class Sign:
    """
    What an executor asks for the sake of a run.

    Attributes:
        step: None when the request does not tell.
    """

    token_name: str
    number: int
    request_id: str
    step: HandedStep | None = None


def begin_access(database: Database, lease_desk: LeaseDesk, sign: Sign, *, writes: bool) -> None:
    """
    Let a step access data; `keep_lease` says what that does.

    Whoever is refused reports an error next. When the same executor holds the step anew, that
    is to be expected, and is not taken for an outcome of the newer lease.

    Raises:
        DispatchOver: As `keep_lease`.
    """
    try:
        keep_lease(database, lease_desk, sign, writes=writes)
    except DispatchOver:
        if (step := sign.step) is not None:
            transact(
                database.leases,
                lambda connection: compat_runs.note_refused(
                    connection,
                    sign.number,
                    token_name=sign.token_name,
                    step_index=step.index,
                    fence=step.fence,
                ),
            )
        raise


def keep_lease(
    database: Database, lease_desk: LeaseDesk, sign: Sign, *, writes: bool = False
) -> None:
    """
    Confirm that a step executes, and let its lease last for as long as it may take.

    Args:
        writes: The executor is about to change something: from now on it may have happened,
            and no step is executed again by itself. Whatever a definition says of it: there
            the executor's own store refuses a second write of a step.

    Raises:
        DispatchOver: The step is not this executor's now, or its run is to be aborted.
    """
    run = transact(
        database.leases,
        lambda connection: compat_runs.find(connection, sign.number, token_name=sign.token_name),
    )
    if (
        run is None
        or run.lease_id is None
        or sign.step not in (None, HandedStep(run.step_index, run.fence))
    ):
        raise DispatchOver(sign.number)
    held = HeldLease(
        token_name=sign.token_name,
        run_id=run.run_id,
        lease_id=run.lease_id,
        lease_seconds=long_seconds(run.timeout_seconds),
        request_id=sign.request_id,
    )
    renewed = lease_desk.renew([held], None).renewed
    if not renewed or renewed[0].abort:
        raise DispatchOver(sign.number)
    if writes:
        try:
            lease_desk.start_step(held, step_index=run.step_index)
        except LeaseLost:
            raise DispatchOver(sign.number) from None

"""Claims and reports asked of the desks themselves, as the views ask them."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from orchestrator.desk.claim_desk import ClaimDesk
from orchestrator.desk.report_desk import ReportDesk
from orchestrator.desk.wishes import Wish
from orchestrator.store.records import Dispatch
from orchestrator.store.reports import Report
from tests.bench.backlog import QUEUE
from tests.bench.failure import BenchError

TOKEN_NAME = "bench"
# Longer than the bench: no lease expires.
LEASE_SECONDS = 3_600


def claim(
    desk: ClaimDesk, *, executor: str, session: UUID, request_id: UUID, limit: int
) -> Sequence[Dispatch]:
    """
    Claim as many runs as that.

    Raises:
        BenchError: There were fewer.
    """
    dispatches = desk.claim(
        Wish(
            token_name=TOKEN_NAME,
            key_id=TOKEN_NAME,
            executor=executor,
            session=session,
            request_id=request_id,
            body_hash=bytes(32),
            queues=(QUEUE,),
            limit=limit,
            lease_seconds=LEASE_SECONDS,
            wait_seconds=0,
        )
    ).dispatches
    if len(dispatches) != limit:
        raise BenchError(f"a claim of {limit} runs got {len(dispatches)}")
    return dispatches


def report(desk: ReportDesk, dispatches: Sequence[Dispatch], *, output: str) -> None:
    """
    Report that they succeeded, each with this output.

    Raises:
        BenchError: A report was refused.
    """
    reports = [
        Report(
            token_name=TOKEN_NAME,
            run_id=dispatch.run.id,
            lease_id=dispatch.lease.id,
            step_index=0,
            status="success",
            outcome_hash=bytes(32),
            output=output,
            request_id=str(uuid4()),
        )
        for dispatch in dispatches
    ]
    if {answer.status for answer in desk.report(reports)} != {"finished"}:
        raise BenchError("a report was refused")

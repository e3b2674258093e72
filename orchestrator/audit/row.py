"""The row of a run: it says what the run's last event says."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.audit.finding import Finding, Rule
from orchestrator.audit.history import History, Kind, Run
from orchestrator.audit.leases import tenures


def check_row(history: History) -> Iterator[Finding]:
    """State, version, lease, holder, fence and number of leases are those of the ledger."""
    if history.run is None:
        what = "the ledger has events of a run that does not exist"
        yield Finding(history.run_id, Rule.NO_RUN, what)
        return
    for name, value, expected in _columns(history, history.run):
        if value != expected:
            what = f"{name} is {value} in the row, {expected} in the ledger"
            yield Finding(history.run_id, Rule.ROW_DISAGREES, what)
    overdue = history.run.overdue_seconds
    if overdue is not None and overdue > 0:
        what = f"its lease should have been taken back {overdue:.1f} s ago"
        yield Finding(history.run_id, Rule.LEASE_NOT_TAKEN_BACK, what)


def _columns(history: History, run: Run) -> Iterator[tuple[str, object, object]]:
    last = history.events[-1] if history.events else None
    claims = [event for event in history.events if event.kind == Kind.CLAIMED]
    living = next((one.claim for one in tenures(history) if one.end is None), None)
    yield "version", run.version, last.seq if last else 0
    yield "runState", run.state, last.to_state if last else None
    yield "leaseId", run.lease_id, living.lease_id if living else None
    yield "lockedBy", run.executor, living.executor if living else None
    yield "fence", run.fence, claims[-1].fence if claims else 0
    yield "attempt", run.attempt, len(claims)

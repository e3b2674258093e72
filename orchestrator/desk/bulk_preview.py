"""What a bulk act would do, told before it is done: how many runs match, and which it fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from orchestrator.desk.bulk import count
from orchestrator.lifecycle import OVER, ActKind, RunState, WaitingReason
from orchestrator.store import runs
from orchestrator.store.engine import Database
from orchestrator.store.run_filter import RunFilter
from orchestrator.store.transaction import transact

FITS: dict[ActKind, frozenset[RunState]] = {
    ActKind.RETRY_RUNS: frozenset({RunState.FAILED, RunState.ABORTED}),
    ActKind.ABORT_RUNS: frozenset(RunState) - OVER,
}
"""The states in which a run can be acted on. Others refuse."""

# Each of up to three counts: somebody waits for them.
MOST_SECONDS = 0.07


@dataclass(frozen=True, slots=True)
class Counted:
    """So many; `are_more`: and more, which were not counted."""

    number: int
    are_more: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """
    What a bulk act would do now.

    Attributes:
        matched: Runs of the filter.
        fitting: Of them, those whose state allows the act.
        newest: The newest run of all: what is created from now on is counted by nobody.
            None when there is no run.
    """

    matched: Counted
    fitting: Counted
    newest: UUID | None


def fitting(kind: ActKind, wanted: RunFilter) -> RunFilter | None:
    """The filter without the runs whose state does not allow the act; None when none is left."""
    states = [state for state in wanted.states or RunState if state in FITS[kind]]
    return replace(wanted, states=tuple(sorted(states))) if states else None


def preview(
    database: Database, kind: ActKind, wanted: RunFilter, queue_patterns: tuple[str, ...]
) -> Preview:
    """Count; nothing is changed."""
    newest = transact(database.work, runs.newest_id)

    def counted(narrowed: RunFilter | None) -> Counted:
        if narrowed is None or newest is None:
            return Counted(0, are_more=False)
        found = count(database, narrowed, queue_patterns, newest=newest, most_seconds=MOST_SECONDS)
        return Counted(found.matched, found.more)

    able = fitting(kind, wanted)
    matched = counted(wanted)
    fits = matched if able == wanted else counted(able)
    if kind is ActKind.ABORT_RUNS and able is not None:
        # Only resolve moves these.
        unknown = counted(_unknown_of(able))
        # These may have been counted further than the others.
        fits = Counted(max(0, fits.number - unknown.number), fits.are_more or unknown.are_more)
    return Preview(matched, fits, newest)


def _unknown_of(able: RunFilter) -> RunFilter | None:
    reason = WaitingReason.OUTCOME_UNKNOWN
    if RunState.WAITING not in able.states or able.waiting_reason not in (None, reason):
        return None
    return replace(able, states=(RunState.WAITING,), waiting_reason=reason)

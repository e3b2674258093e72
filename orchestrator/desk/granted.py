"""What is counted of runs that were leased."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator.metrics.catalogue import Metrics
from orchestrator.store.records import Dispatch

# Of a transaction that leases many runs about so many are asked how long they waited.
_ASKED: Final = 8


def count_granted(metrics: Metrics, dispatches: Sequence[Dispatch]) -> None:
    """Count what one transaction has leased, once it is committed."""
    if not dispatches:
        return
    metrics.claim_commits.add()
    some = dispatches[:: 1 + (len(dispatches) - 1) // _ASKED]
    metrics.run_waits.note_each(
        [
            (run.locked_at - run.available_at).total_seconds()
            for run in [dispatch.run for dispatch in some]
            if run.attempt == 1 and run.locked_at and run.available_at
        ]
    )

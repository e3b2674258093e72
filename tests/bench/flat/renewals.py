"""How many renewals after a lease's first leave every index alone (heap-only updates)."""

from contextlib import closing

import psycopg

from orchestrator.store.leases import HeldLease
from tests.bench.desks import TOKEN_NAME
from tests.bench.flat.side import Side

# So many executors, each with so many leases, renew all they have in one request.
EXECUTORS = 10
LEASES = 20
ROUNDS = 20


def heap_only_share(on: Side) -> float:
    """Of a window of renewals; what was claimed is reported afterwards."""
    dispatches = on.claim(EXECUTORS * LEASES)
    held = [HeldLease(TOKEN_NAME, each.run.id, each.lease.id) for each in dispatches]

    def renew_all() -> None:
        for first in range(0, len(held), LEASES):
            on.services.lease_desk.renew(held[first : first + LEASES], None)

    renew_all()
    before = _updates(on)
    for _ in range(ROUNDS):
        renew_all()
    after = _updates(on)
    on.report(dispatches)
    return (after[1] - before[1]) / (after[0] - before[0])


def _updates(on: Side) -> tuple[int, int]:
    """All updates of runs, and the heap-only ones, so far."""
    # A session hands its counts in when it ends.
    on.services.database.leases.dispose()
    with closing(psycopg.connect(on.owner_url, autocommit=True)) as owner:
        owner.execute("SELECT pg_stat_force_next_flush()")
        updates, heap_only = owner.execute(
            """
SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'workflowRuns'
"""
        ).fetchone() or (0, 0)
    return int(updates), int(heap_only)

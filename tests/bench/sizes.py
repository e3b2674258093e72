"""How much the bench does: long enough to be worth reading, or only to see that it works."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """
    What one sample of each figure takes.

    Attributes:
        load_seconds: How long claims over HTTP, and what pgbench does, are counted.
        pgbench_cycles: How often each of pgbench's connections does its script
            instead; it cannot be told to end within a second.
        single_backlog: Pending runs in front of single claims; more than they can claim.
        batch_backlog: The same for claims and cycles of many.
        drained_runs: What the executors drain.
        creates: Runs created one by one to see how soon their handlers start.
    """

    load_seconds: float
    pgbench_cycles: int | None
    single_backlog: int
    batch_backlog: int
    drained_runs: int
    creates: int


FULL = Sizes(
    load_seconds=4,
    pgbench_cycles=None,
    single_backlog=50_000,
    batch_backlog=250_000,
    drained_runs=20_000,
    creates=100,
)
QUICK = Sizes(
    load_seconds=0.4,
    pgbench_cycles=20,
    single_backlog=6_000,
    batch_backlog=30_000,
    drained_runs=200,
    creates=4,
)

"""How much the bench does: long enough to be worth reading, or only to see that it works."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """
    What one sample of each figure takes.

    Attributes:
        load_seconds: How long claims, and pgbench's cycles, are counted.
        single_backlog: Pending runs in front of single claims; more than they can claim.
        batch_backlog: The same for claims and cycles of many.
        drained_runs: What the executors drain.
        creates: Runs created one by one to see how soon their handlers start.
    """

    load_seconds: float
    single_backlog: int
    batch_backlog: int
    drained_runs: int
    creates: int


FULL = Sizes(
    load_seconds=4, single_backlog=50_000, batch_backlog=250_000, drained_runs=20_000, creates=100
)
QUICK = Sizes(
    load_seconds=1, single_backlog=12_000, batch_backlog=80_000, drained_runs=600, creates=8
)

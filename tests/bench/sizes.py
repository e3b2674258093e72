"""How much the bench does: long enough to be worth reading, or only to see that it works."""

from dataclasses import dataclass

from executor.poller import WAIT_SECONDS


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
        idle_executors: Claims parked at once.
        idle_wait_seconds: For how long each asks to wait; in the full size as an executor does.
        idle_window_seconds: How long statements are counted, for each of several counts.
        idle_windows: How many counts.
    """

    load_seconds: float
    pgbench_cycles: int | None
    single_backlog: int
    batch_backlog: int
    drained_runs: int
    creates: int
    idle_executors: int
    idle_wait_seconds: int
    idle_window_seconds: float
    idle_windows: int


FULL = Sizes(
    load_seconds=3,
    pgbench_cycles=None,
    single_backlog=40_000,
    batch_backlog=180_000,
    drained_runs=20_000,
    creates=60,
    idle_executors=500,
    idle_wait_seconds=WAIT_SECONDS,
    idle_window_seconds=5,
    idle_windows=5,
)
QUICK = Sizes(
    load_seconds=0.4,
    pgbench_cycles=20,
    single_backlog=6_000,
    batch_backlog=30_000,
    drained_runs=200,
    creates=4,
    idle_executors=20,
    idle_wait_seconds=2,
    idle_window_seconds=0.5,
    idle_windows=2,
)

"""How full the tables are, and how long is measured."""

from dataclasses import dataclass

PENDING, SCHEDULED, OVER, OLD = 1_000_000, 100_000, 10_000_000, 1_000_000
SMALL_PENDING = 10_000
FULL_BLOCK_CLAIMS = 1_000
FULL_BLOCK_SECONDS = 15.0


@dataclass(frozen=True)
class Sizes:
    """
    What one run of the bench makes and takes.

    Attributes:
        over: Runs that are over and young enough to be kept.
        old: Runs that are over and to be pruned.
        block_claims: Claims of each side in one block of the comparison.
        block_seconds: One block of claims with, or without, pruning.
        snapshot_seconds: How long the snapshot is held.
    """

    pending: int
    scheduled: int
    over: int
    old: int
    block_claims: int
    block_seconds: float
    snapshot_seconds: float


def sizes(scale: float, snapshot_minutes: float) -> Sizes:
    """
    The full sizes times `scale`.

    Below a tenth the blocks are short: that is to see that it works, not to be read.
    """
    short = min(1.0, scale * 10)
    return Sizes(
        pending=round(PENDING * scale),
        scheduled=round(SCHEDULED * scale),
        over=round((OVER - OLD) * scale),
        old=round(OLD * scale),
        block_claims=max(100, round(FULL_BLOCK_CLAIMS * short)),
        block_seconds=max(2.0, FULL_BLOCK_SECONDS * short),
        snapshot_seconds=snapshot_minutes * 60,
    )

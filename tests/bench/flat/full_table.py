"""Claims on a full table beside claims on a small one, each after the other."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from tests.bench.flat.side import Side
from tests.bench.flat.times import Times, paced, times

BLOCKS = 5
PER_SECOND = 50.0
WARM_UP_CLAIMS = 50


@dataclass(frozen=True)
class Compared:
    """One block: the claims of both tables, in the same seconds."""

    small: Times
    full: Times


def compare(
    small: Side, full: Side, *, block_claims: int, say: Callable[[str], None]
) -> list[Compared]:
    """
    Claim one run here and one there, again and again, slower than either could.

    A disturbance of the machine hits both. Nothing is reported: the claims of
    one block are all the same work.
    """
    for on in (small, full):
        for _ in range(WARM_UP_CLAIMS):
            on.claim()
    return [_block(small, full, block_claims, say) for _ in range(BLOCKS)]


def ratios(blocks: list[Compared]) -> tuple[float, float]:
    """The medians of p50 and p99 on the full table against the small one."""
    return (
        median(block.full.p50_ms / block.small.p50_ms for block in blocks),
        median(block.full.p99_ms / block.small.p99_ms for block in blocks),
    )


def _block(small: Side, full: Side, claims: int, say: Callable[[str], None]) -> Compared:
    took: dict[str, list[float]] = {"small": [], "full": []}
    sides = {"small": small, "full": full}
    for _ in paced(PER_SECOND, claims / PER_SECOND):
        for name, on in sides.items():
            began = time.perf_counter()
            on.claim()
            took[name].append(time.perf_counter() - began)
        # Each goes first as often as the other.
        sides = dict(reversed(sides.items()))
    block = Compared(times(took["small"]), times(took["full"]))
    say(f"  small {block.small}\n  full  {block.full}")
    return block

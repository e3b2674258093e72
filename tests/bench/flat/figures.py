"""The figures: what was found, beside what was promised."""

from collections.abc import Callable
from contextlib import ExitStack

from tests.bench.flat import full_table, pruning, renewals, snapshot
from tests.bench.flat.ground import Ground
from tests.bench.flat.history import settle, top_up
from tests.bench.flat.side import Side, side
from tests.bench.flat.sizes import Sizes

PARTS = ("claims", "renewals", "pruning", "snapshot")

# A figure's name, what was found, the target, and notes.
Row = tuple[str, str, str, str]


class Figures:
    """The parts, one after another, on the same databases."""

    def __init__(self, on: Ground, measured: Sizes, say: Callable[[str], None]) -> None:
        self._on = on
        self._sizes = measured
        self._say = say

    def all(self, parts: tuple[str, ...]) -> list[Row]:
        """Every row of the table."""
        rows: list[Row] = []
        with ExitStack() as stack:
            small, full = (
                stack.enter_context(side(place.service_url, place.owner_url))
                for place in (self._on.small, self._on.full)
            )
            measures: dict[str, Callable[[], list[Row]]] = {
                "claims": lambda: self._claims(small, full),
                "renewals": lambda: self._renewals(full),
                "pruning": lambda: self._pruning(full),
                "snapshot": lambda: self._snapshot(full),
            }
            for part, measure in measures.items():
                if part in parts:
                    self._say(part)
                    rows += measure()
        return rows

    def _claims(self, small: Side, full: Side) -> list[Row]:
        blocks = full_table.compare(
            small, full, block_claims=self._sizes.block_claims, say=self._say
        )
        p50, p99 = full_table.ratios(blocks)
        last = blocks[-1]
        return [
            ("claim p50, full table : small table", f"{p50:.2f}", "", f"{len(blocks)} blocks"),
            (
                "claim p99, full table : small table",
                f"{p99:.2f}",
                "≤ 1.5",
                f"the last: {last.full.p99_ms:.1f} : {last.small.p99_ms:.1f} ms",
            ),
        ]

    def _renewals(self, full: Side) -> list[Row]:
        share = renewals.heap_only_share(full)
        return [("heap-only share of renewals", f"{share:.3f}", "≥ 0.95", "")]

    def _pruning(self, full: Side) -> list[Row]:
        seconds = self._sizes.block_seconds
        top_up(full.owner_url, pruning.needed_runs(seconds), self._say)
        found = pruning.prune(full, self._on.full.service_url, block_seconds=seconds, say=self._say)
        rest = found.rest_runs_per_second
        return [
            (
                "claim rate lost while old runs are pruned",
                f"{found.cost:.0%}",
                "≤ 20%",
                f"{found.runs_per_second:,.0f} runs/s went meanwhile, "
                + ("none were left" if rest is None else f"{rest:,.0f} when idle"),
            )
        ]

    def _snapshot(self, full: Side) -> list[Row]:
        seconds = self._sizes.snapshot_seconds
        top_up(full.owner_url, snapshot.needed_runs(seconds), self._say)
        settle(full.owner_url)
        found = snapshot.hold(full, self._on.full.service_url, seconds=seconds, say=self._say)
        return [
            (
                f"claim p99, {seconds / 60:g} minutes of a snapshot : before",
                f"{found.p99_ratio:.2f}",
                "≤ 2",
                f"p50 {found.p50_ratio:.2f}; {found.runs_per_second:,.0f} runs/s,"
                f" {found.dead:,} dead rows; named: {', '.join(found.named[:1])}",
            )
        ]

"""How long runs of a workflow take, and how many fail: of the newest that came to an end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from orchestrator.lifecycle import covers
from orchestrator.store.outcomes import Outcomes


@dataclass(frozen=True, slots=True)
class Durations:
    """
    Of so many runs that finished or failed.

    Attributes:
        p50: Half of those that finished took no longer; None when none did.
        p95: And 95 of a hundred no longer than this.
    """

    runs: int
    failed: int
    p50: timedelta | None
    p95: timedelta | None

    @classmethod
    def of(cls, outcomes: Iterable[Outcomes]) -> Self:
        """Of the runs of several queues together."""
        found = list(outcomes)
        took = sorted(ms for each in found for ms in each.milliseconds)
        failed = sum(each.failed for each in found)
        finished = sum(each.finished for each in found)
        return cls(finished + failed, failed, _percentile(took, 50), _percentile(took, 95))


def durations_by_workflow(
    outcomes: Iterable[Outcomes], queues: tuple[str, ...]
) -> dict[str, Durations]:
    """Of each workflow that had runs lately in the queues that a token covers, by name."""
    seen: dict[str, list[Outcomes]] = {}
    for each in outcomes:
        if covers(queues, each.queue):
            seen.setdefault(each.workflow, []).append(each)
    return {workflow: Durations.of(seen[workflow]) for workflow in sorted(seen)}


def _percentile(ordered: list[int], percent: int) -> timedelta | None:
    if not ordered:
        return None
    # The nearest rank: a duration that a run really took.
    return timedelta(milliseconds=ordered[-(-len(ordered) * percent // 100) - 1])

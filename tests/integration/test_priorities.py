"""Priorities under a steady flood: the higher goes first, nobody waits longer than the key says.

As many runs come in each step as are claimed in it, so nothing would be left for a low
priority if the higher ones always went first. Time passes by ageing all that waits.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.desk.creates import Wanted
from orchestrator.lifecycle import PRIORITY_SECONDS
from tests.integration.dibs import Dibs
from tests.integration.wishes import Executor, new_run

STEP_SECONDS = 20
RUNS_PER_STEP = 5
A_STEP_OF_PRIORITY = timedelta(seconds=PRIORITY_SECONDS)


@dataclass(frozen=True)
class Claimed:
    """A run that was claimed; `came_at` on a clock that counts the time that was made to pass."""

    priority: int
    came_at: datetime


@dataclass
class Flood:
    """A queue into which runs come as fast as they are claimed."""

    dibs: Dibs
    executor: Executor
    passed = timedelta()

    def come(self, priorities: Sequence[int]) -> None:
        """New runs of these priorities."""
        self.dibs.creates.create(
            [Wanted(new_run(priority=each), return_active=False) for each in priorities]
        )

    def claim(self, runs: int) -> list[Claimed]:
        """Claim so many, in the order of claims."""
        dispatches = self.dibs.claim(self.executor, limit=runs).dispatches
        return [
            Claimed(run.priority, run.available_at + self.passed)
            for run in (dispatch.run for dispatch in dispatches)
        ]

    def let_time_pass(self) -> None:
        """Make all that waits older by a step."""
        step = timedelta(seconds=STEP_SECONDS)
        self.passed += step
        self.dibs.sql(
            'UPDATE "workflowRuns" SET "availableAt" = "availableAt" - %s,'
            ' "claimKey" = "claimKey" - %s WHERE "runState" = \'pending\'',
            step,
            step,
        )


def test_a_low_priority_is_overtaken_by_a_flood_for_as_long_as_the_key_says_and_no_longer(
    dibs: Dibs, executor: Executor
) -> None:
    flood = Flood(dibs, executor)
    flood.come([0])
    claimed: list[Claimed] = []
    for _ in range(4 * PRIORITY_SECONDS // STEP_SECONDS):
        flood.come([3] * RUNS_PER_STEP)
        claimed += flood.claim(RUNS_PER_STEP)
        flood.let_time_pass()

    (low,) = (run for run in claimed if run.priority == 0)
    place = claimed.index(low)
    bound = low.came_at + 3 * A_STEP_OF_PRIORITY
    assert place > RUNS_PER_STEP
    assert all(run.came_at < bound for run in claimed[:place])
    # It was the first of those that were claimed when its time had come.
    assert all(run.came_at >= bound for run in claimed[place + 1 :])


def test_in_a_flood_of_all_priorities_each_is_overtaken_for_a_minute_a_step_at_most(
    dibs: Dibs, executor: Executor
) -> None:
    chance = random.Random(6)
    flood = Flood(dibs, executor)
    # A backlog that never gets shorter.
    flood.come(chance.choices(range(-3, 4), k=4 * RUNS_PER_STEP))
    claimed: list[Claimed] = []
    for _ in range(20):
        flood.come(chance.choices(range(-3, 4), k=RUNS_PER_STEP))
        claimed += flood.claim(RUNS_PER_STEP)
        flood.let_time_pass()

    overtaken = 0
    for first, second in itertools.combinations(claimed, 2):
        if first.came_at > second.came_at:
            overtaken += 1
            ahead = (first.priority - second.priority) * A_STEP_OF_PRIORITY
            assert first.came_at - second.came_at < ahead
    assert overtaken > RUNS_PER_STEP


def test_of_those_that_wait_together_the_higher_priority_goes_first(
    dibs: Dibs, executor: Executor
) -> None:
    chance = random.Random(6)
    flood = Flood(dibs, executor)
    claimed: list[list[int]] = []
    for _ in range(5):
        flood.come(chance.choices(range(-100, 101), k=RUNS_PER_STEP))
        claimed.append([run.priority for run in flood.claim(RUNS_PER_STEP)])
        flood.let_time_pass()

    assert [len(runs) for runs in claimed] == [RUNS_PER_STEP] * 5
    assert claimed == [sorted(runs, reverse=True) for runs in claimed]

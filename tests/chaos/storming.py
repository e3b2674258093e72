"""Blows that fall on an installation while it works."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from tests.chaos.fault import Fault
from tests.chaos.judgement import judge
from tests.chaos.recovery import served_again, taken_over
from tests.chaos.site import MOST_STEPS, Site
from tests.chaos.strikes import Strike, Struck


@dataclass(frozen=True)
class Pace:
    """
    How the blows follow one another.

    Attributes:
        runs: How many are created in all, a share of them before each blow.
        step_seconds: How long each step takes, so that there is somebody to strike.
        longest_rest_seconds: A blow falls so long after work has begun, at most.
        overlap: How many blows, from 0 to 1, do not wait for work to begin after the last.
        settle_seconds: What is left to those who live, before the next blow is prepared.
        most_live: No runs are created while there are as many that are not over.
    """

    runs: int
    step_seconds: float = 0.1
    longest_rest_seconds: float = 0.5
    overlap: float = 0.0
    settle_seconds: float = 0.0
    most_live: float = math.inf


def storm(site: Site, chance: random.Random, strikes: Sequence[Strike], pace: Pace) -> list[Struck]:
    """
    Let these blows fall while runs come, then let everything finish.

    Raises:
        AssertionError: Something stands still for longer than anything may.
    """
    share = -(-pace.runs // len(strikes))
    struck = []
    for strike in strikes:
        lengths = [chance.randint(1, MOST_STEPS) for _ in range(share)]
        if pace.most_live < math.inf:
            has_room = partial(site.has_fewer_live_than, pace.most_live)
            site.wait(has_room, what="the backlog is executed", look_again_seconds=0.1)
        site.create(lengths, step_seconds=pace.step_seconds)
        waits = chance.random() >= pace.overlap
        rest_seconds = chance.uniform(0, pace.longest_rest_seconds)
        if waits:
            site.wait_for_work()
        site.rest(rest_seconds)
        struck.append(strike(site, chance))
        site.rest(pace.settle_seconds)
    site.finish()
    return struck


def write_down(site: Site, struck: Sequence[Struck], fault: Fault) -> None:
    """
    What the blows did: how soon there were answers again, and what became of all runs.

    Raises:
        AssertionError: Something does not hold.
    """
    fault.injected(len(struck))
    fault.recovered(*served_again(site.exchanges(), struck))
    runs = taken_over(site.database, struck)
    if runs:
        fault.note(
            f"{len(runs)} runs of dead executors: lease taken back after"
            f" {_spread(one.taken_back for one in runs)},"
            f" next lease after {_spread(one.leased_again for one in runs)}"
        )
    judge(site, fault)


def _spread(seconds: Iterable[float]) -> str:
    found = list(seconds)
    return f"{statistics.median(found):.2f} s (p50) and {max(found):.2f} s (max)"

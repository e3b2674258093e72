"""A session: the suite without any mutant first, then each mutant on a copy of its own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos.mutants.mutant import Mutant, MutantError
from tests.chaos.mutants.suite import Suite
from tests.chaos.mutants.trial import Trial, Tried
from tests.chaos.mutants.verdict import why_not_green

LOOK_SECONDS = 0.05

Say = Callable[[str], None]


def try_mutants(
    tree: Path, mutants: Sequence[Mutant], folder: Path, *, jobs: int, say: Say
) -> list[Tried]:
    """
    Try mutants on a clean copy of the tree.

    Args:
        folder: An empty one, for what the trials need.
        jobs: How many run at a time.

    Returns:
        What came of each, in the order given.

    Raises:
        MutantError: The suite is not green without any of them, so that none is tried.
    """
    tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
    say(f"without any mutant: {len(tests)} tests")
    _require_green(tree, tests, folder / "green.xml", say)
    waiting = deque(enumerate(mutants))
    running: dict[int, Trial] = {}
    tried: dict[int, Tried] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number, mutant = waiting.popleft()
                try:
                    running[number] = Trial(mutant, tree, folder / mutant.name)
                except MutantError as error:
                    tried[number] = Tried(mutant, str(error))
                    say(_line(tried[number], len(tried), len(mutants)))
            for number in [each for each, trial in running.items() if trial.has_ended]:
                tried[number] = running.pop(number).tried()
                say(_line(tried[number], len(tried), len(mutants)))
            time.sleep(LOOK_SECONDS)
    finally:
        for trial in running.values():
            trial.end()
    return [tried[number] for number in range(len(mutants))]


def _require_green(tree: Path, tests: Sequence[str], results: Path, say: Say) -> None:
    suite = Suite(tree, tests, results)
    try:
        while not suite.has_ended:
            time.sleep(LOOK_SECONDS)
    finally:
        suite.end()
    outcome = suite.outcome()
    if failure := why_not_green(tests, outcome):
        raise MutantError(f"{failure}, so no mutant was tried.\n{outcome.said}")
    say(f"  green in {outcome.seconds:.0f} s")


def _line(tried: Tried, done: int, of: int) -> str:
    name = tried.mutant.name
    if tried.failure is None and tried.outcome is not None:
        return f"{done:>4}/{of}  {name}: red in {tried.outcome.seconds:.0f} s"
    return f"{done:>4}/{of}  {name}: {tried.failure}"

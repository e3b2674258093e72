"""What a suite says of a mutant: that it was noticed, or what is in the way of saying so."""

from __future__ import annotations

from collections.abc import Iterable

from tests.chaos.mutants.mutant import Mutant
from tests.chaos.mutants.suite import FAILED, PASSED, Outcome


def why_not_green(tests: Iterable[str], outcome: Outcome) -> str | None:
    """Why the tests say nothing, run without any mutant; None when all are green."""
    for test in tests:
        if outcome.of(test) != {PASSED}:
            return f"without any mutant: {test}: {_became(test, outcome)}"
    return None


def why_not_noticed(mutant: Mutant, outcome: Outcome) -> str | None:
    """
    Why a mutant does not count as noticed; None when it does.

    Each test that must notice has to fail as a test: a module that cannot be imported, or
    a fixture that breaks, notices nothing. And those that it spares have to pass.
    """
    for test in mutant.noticed_by:
        if FAILED not in outcome.of(test):
            return f"{test}: {_became(test, outcome)}, but it must fail"
    for test in mutant.spares:
        if outcome.of(test) != {PASSED}:
            return f"{test}: {_became(test, outcome)}, but it is to be spared"
    return None


def _became(test: str, outcome: Outcome) -> str:
    return " and ".join(sorted(outcome.of(test))) or "not run"

"""One mutant's trial: a copy of the tree, the patch, and the tests that must notice."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.mutants.mutant import Mutant, MutantError
from tests.chaos.mutants.suite import Outcome, Suite
from tests.chaos.mutants.verdict import why_not_noticed


@dataclass(frozen=True)
class Tried:
    """
    What came of a trial.

    Attributes:
        failure: Why it does not count as noticed; None when it does.
        outcome: None when it came to no test.
    """

    mutant: Mutant
    failure: str | None
    outcome: Outcome | None = None


class Trial:
    """
    A mutant that is being tried.

    Args:
        tree: A clean copy of the tree, which is copied again.
        folder: An empty one, for what the trial needs.

    Raises:
        MutantError: The patch does not apply.
    """

    def __init__(self, mutant: Mutant, tree: Path, folder: Path) -> None:
        self._mutant = mutant
        self._folder = folder
        copy = folder / "tree"
        # With its bytecode: only what the patch touches is compiled again.
        shutil.copytree(tree, copy)
        apply(mutant.patch, copy)
        self._suite = Suite(copy, mutant.tests, folder / "results.xml")

    @property
    def has_ended(self) -> bool:
        return self._suite.has_ended

    def tried(self) -> Tried:
        """What came of it, once it has ended; its copy goes away."""
        outcome = self._suite.outcome()
        shutil.rmtree(self._folder)
        return Tried(self._mutant, why_not_noticed(self._mutant, outcome), outcome)

    def end(self) -> None:
        """End it before its time."""
        self._suite.end()


def apply(patch: Path, tree: Path, *, check_only: bool = False) -> None:
    """
    Change a tree as the patch says.

    Raises:
        MutantError: The patch does not fit, and was not applied; git says where.
    """
    command = ["git", "apply", *(["--check"] if check_only else []), str(patch)]
    # In a repository git would pass over, in silence, what is not below its own folder.
    outside = {"GIT_CEILING_DIRECTORIES": str(tree.parent.resolve())}
    ended = subprocess.run(
        command,
        cwd=tree,
        env={**os.environ, **outside},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise MutantError(f"{patch.name} does not apply any more: {ended.stderr.strip()}")

"""A mutant: a patch that breaks one promise, with the tests that must notice it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent

_FIELD = re.compile(r"(Promise|Broken|Noticed-by|Spares): (.+)")


class MutantError(Exception):
    """A mutant, or a tree to try it on, is worth nothing; the message is one sentence."""


@dataclass(frozen=True)
class Mutant:
    """
    One patch of this folder.

    Attributes:
        promise: What is promised.
        broken: What a tired engineer made of it.
        noticed_by: Node ids of tests, each of which must fail.
        spares: Node ids of tests that must not: what is broken besides proves nothing.
    """

    patch: Path
    promise: str
    broken: str
    noticed_by: tuple[str, ...]
    spares: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of its file, less its place in the list."""
        return self.patch.stem.partition("-")[2]

    @property
    def tests(self) -> tuple[str, ...]:
        """All that is to be run with it, and without it."""
        return self.noticed_by + self.spares


def read_mutant(patch: Path) -> Mutant:
    """
    Read a patch's head: a field a line, before the first file, which git passes over.

    Raises:
        MutantError: A field is missing, or a line is none.
    """
    found: dict[str, list[str]] = {}
    head, _, _ = patch.read_text(encoding="utf-8").partition("diff --git ")
    for line in filter(None, head.splitlines()):
        field = _FIELD.fullmatch(line)
        if field is None:
            raise MutantError(f"{patch.name}: not a field of a mutant: {line}")
        found.setdefault(field[1], []).append(field[2])
    if not {"Promise", "Broken", "Noticed-by", "Spares"} <= found.keys():
        raise MutantError(f"{patch.name}: say Promise, Broken, Noticed-by and Spares")
    return Mutant(
        patch,
        promise=" ".join(found["Promise"]),
        broken=" ".join(found["Broken"]),
        noticed_by=tuple(found["Noticed-by"]),
        spares=tuple(found["Spares"]),
    )


def all_mutants(folder: Path = FOLDER) -> list[Mutant]:
    """Every mutant, in the order of the list."""
    return [read_mutant(patch) for patch in sorted(folder.glob("*.patch"))]


def chosen(mutants: Sequence[Mutant], names: Sequence[str]) -> list[Mutant]:
    """
    Those of these names, or all when none is given.

    Raises:
        MutantError: There is none of a name.
    """
    known = {mutant.name for mutant in mutants}
    if unknown := [name for name in names if name not in known]:
        raise MutantError(f"no mutant is called {', '.join(unknown)}: {', '.join(sorted(known))}")
    return [mutant for mutant in mutants if not names or mutant.name in names]

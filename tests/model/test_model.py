"""Spin finds that the promises hold in every state of the model, and catches its mutants."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.cases import CASES, Case
from tests.model.spin import INSTALL, SpinError, missing, search
from tests.model.verdict import verdict


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.name}")
def test_every_search_finds_what_it_should(case: Case, tmp_path: Path) -> None:
    require_spin()

    found = search(case, tmp_path)

    is_well, words = verdict(case, found)
    assert is_well, "\n".join([words, *found.story])


def test_each_promise_of_the_model_is_broken_by_a_mutant() -> None:
    """A promise that nothing breaks may be one that nothing checks."""
    asserted = {
        line.strip().rstrip(";").removeprefix("assert(").rstrip(")")
        for case in CASES
        for line in case.model.read_text().splitlines()
        if line.strip().startswith("assert(")
    }

    broken = {case.breaks for case in CASES if case.breaks and not case.of_an_end}
    assert asserted == broken


def test_a_search_that_runs_out_of_memory_finds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verifier ends with status 0 all the same, and says that there were no errors."""
    require_spin()
    monkeypatch.setattr("tests.model.spin.MEMORY_MEGABYTES", 20)

    with pytest.raises(SpinError, match="not all states were searched"):
        search(CASES[0], tmp_path)


def require_spin() -> None:
    if lacking := missing():
        pytest.skip(f"no {' and no '.join(lacking)} here: {INSTALL}")

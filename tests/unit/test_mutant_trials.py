"""The trial of a mutant: what counts as noticed, on a tree of one module and one test file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.mutants.mutant import Mutant, MutantError
from tests.chaos.mutants.session import try_mutants

# The plugins that a tree without settings of its own would load take seconds.
SETTINGS = "[pytest]\naddopts = -p no:schemathesis -p no:hypothesispytest\n"
MODULE = "def double(number):\n    return 2 * number\n"
TESTS = """import pytest
from module import double


@pytest.fixture
def four():
    return double(2)


def test_double():
    assert double(2) == 4


def test_a_fixture(four):
    pass


@pytest.mark.parametrize("number", [0, 2])
def test_square(number):
    assert double(number) == number**2


def test_nothing():
    assert True
"""
SPARED = "test_module.py::test_nothing"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, text in {
        "pytest.ini": SETTINGS,
        "module.py": MODULE,
        "test_module.py": TESTS,
    }.items():
        (tree / name).write_text(text)
    return tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "trials"
    folder.mkdir()
    return folder


def mutant(
    tmp_path: Path, name: str, *noticed_by: str, body: str, before: str = "return 2 * number"
) -> Mutant:
    """One that gives the module's function another body."""
    patch = tmp_path / f"01-{name}.patch"
    patch.write_text(
        "diff --git a/module.py b/module.py\n--- a/module.py\n+++ b/module.py\n"
        f"@@ -1,2 +1,2 @@\n def double(number):\n-    {before}\n+    {body}\n"
    )
    tests = tuple(f"test_module.py::{test}" for test in noticed_by)
    return Mutant(patch, "a promise", "how it is broken", tests, (SPARED,))


def test_a_mutant_is_noticed_when_each_of_its_tests_fails_as_a_test_and_no_other(
    tree: Path, folder: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    mutants = [
        mutant(tmp_path, "noticed", "test_double", "test_square", body="return 3 * number"),
        mutant(tmp_path, "by-one-only", "test_double", "test_nothing", body="return 3 * number"),
        mutant(tmp_path, "by-nobody", "test_double", body="return number + number"),
        mutant(tmp_path, "by-a-fixture", "test_a_fixture", body="raise ValueError"),
        mutant(tmp_path, "not-python", "test_double", body="return ="),
        mutant(tmp_path, "elsewhere", "test_double", before="return 5", body="return 6"),
    ]

    tried = try_mutants(tree, mutants, folder, jobs=2, say=said.append)

    assert [each.mutant.name for each in tried] == [each.name for each in mutants]
    failures = {each.mutant.name: each.failure for each in tried}
    assert failures.pop("noticed") is None
    assert "elsewhere.patch does not apply any more" in (failures.pop("elsewhere") or "")
    assert failures == {
        "by-one-only": "test_module.py::test_nothing: passed, but it must fail",
        "by-nobody": "test_module.py::test_double: passed, but it must fail",
        "by-a-fixture": "test_module.py::test_a_fixture: error, but it must fail",
        "not-python": "test_module.py::test_double: not run, but it must fail",
    }
    assert len([line for line in said if "/6" in line]) == 6
    assert (tree / "module.py").read_text() == MODULE


def test_a_mutant_that_breaks_what_it_is_to_spare_is_not_noticed(
    tree: Path, folder: Path, tmp_path: Path
) -> None:
    greedy = mutant(tmp_path, "greedy", "test_double", body="return 3 * number")
    greedy = Mutant(greedy.patch, "p", "b", greedy.noticed_by, ("test_module.py::test_square",))

    (tried,) = try_mutants(tree, [greedy], folder, jobs=1, say=lambda _: None)

    spared = "test_module.py::test_square: failed and passed, but it is to be spared"
    assert tried.failure == spared


def test_no_mutant_is_tried_when_a_test_is_red_without_any(
    tree: Path, folder: Path, tmp_path: Path
) -> None:
    (tree / "module.py").write_text(MODULE.replace("2 *", "3 *"))
    noticed = mutant(tmp_path, "noticed", "test_double", body="return 4 * number")

    with pytest.raises(MutantError, match=r"without any mutant: .*test_double: failed"):
        try_mutants(tree, [noticed], folder, jobs=1, say=lambda _: None)
    assert not (folder / "noticed").exists()

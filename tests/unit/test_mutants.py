"""The mutants' patches: all of the list, each fits the tree of today, and its tests exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.mutants.mutant import Mutant, MutantError, all_mutants, chosen, read_mutant
from tests.chaos.mutants.trial import apply

ROOT = Path(__file__).parents[2]
MUTANTS = all_mutants()
THE_LIST = [
    "report-by-id-only",
    "report-by-id-and-state",
    "report-by-executor",
    "keeper-selects-then-updates",
    "started-run-without-a-claim",
    "limit-in-a-sub-select",
    "idempotency-record-in-another-transaction",
    "no-replay-of-a-report",
    "lease-id-used-again",
    "expiry-on-the-orchestrators-clock",
    "renewal-without-the-holder",
    "reply-before-the-commit",
    "token-cache-without-expiry",
    "notify-in-the-runs-transaction",
    "in-flight-entry-overwritten",
]

every_mutant = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


def test_every_mutant_of_the_list_is_there() -> None:
    assert [mutant.name for mutant in MUTANTS] == THE_LIST


@every_mutant
def test_a_patch_fits_the_tree(mutant: Mutant) -> None:
    """When this fails, the guard has moved: break it where it stands now."""
    if shutil.which("git") is None:
        pytest.skip("no git here")

    apply(mutant.patch, ROOT, check_only=True)


@every_mutant
def test_a_patch_fits_one_place_only(mutant: Mutant) -> None:
    """Else the next change of the file may lead it elsewhere."""
    for path, before in hunks(mutant.patch):
        assert (ROOT / path).read_text(encoding="utf-8").count(before) == 1, before


def test_the_tests_of_every_mutant_exist() -> None:
    tests = {test for mutant in MUTANTS for test in mutant.tests}
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", *sorted(tests)]
    collected = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert collected.returncode == 0, collected.stdout + collected.stderr


def hunks(patch: Path) -> list[tuple[str, str]]:
    """What each hunk expects to find, with the file that it expects it in."""
    found = []
    for file in patch.read_text(encoding="utf-8").split("diff --git ")[1:]:
        path = re.findall(r"^--- a/(.+)$", file, re.MULTILINE)[0]
        for hunk in re.split(r"^@@ .*$", file, flags=re.MULTILINE)[1:]:
            lines = [line[1:] for line in hunk.splitlines() if line[:1] in (" ", "-")]
            found.append((path, "\n".join(lines)))
    return found


def test_one_can_be_chosen_by_its_name() -> None:
    assert [mutant.name for mutant in chosen(MUTANTS, THE_LIST[3:4])] == THE_LIST[3:4]
    assert chosen(MUTANTS, []) == MUTANTS
    with pytest.raises(MutantError, match="no mutant is called nobody"):
        chosen(MUTANTS, ["nobody"])


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("Promise: p\nBroken: b\nSpares: t\n", "say Promise"),
        ("Promise: p\nBroken: b\nNoticed-by: t\n  and more\n", "not a field"),
    ],
)
def test_a_patch_without_a_whole_head_is_refused(tmp_path: Path, head: str, reason: str) -> None:
    patch = tmp_path / "01-a.patch"
    patch.write_text(f"{head}diff --git a/a b/a\n")

    with pytest.raises(MutantError, match=reason):
        read_mutant(patch)

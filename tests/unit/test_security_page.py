"""SECURITY.md: each defence names where it is tested."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_each_defence_names_tests_that_there_are() -> None:
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    [defences] = re.findall(r"\| against \| how \| tests \|\n\|[- |]+\n((?:\|.*\n)+)", page)
    for row in defences.splitlines():
        named = re.findall(r"`(tests/[^`]+)`", row)

        assert named, row
        assert [path for path in named if not (ROOT / path).is_file()] == []

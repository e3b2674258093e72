"""Golden files: what the product emits, pinned so that a reviewer sees every change of it."""

import difflib
import os
from pathlib import Path

UPDATE = "DIBS_UPDATE_GOLDEN"


def matches_golden(name: str, text: str) -> bool:
    """
    Compare a text with its golden file; `DIBS_UPDATE_GOLDEN=1` writes the file instead.

    Raises:
        AssertionError: They differ, with the difference.
    """
    path = Path(__file__).with_name(name)
    if os.environ.get(UPDATE):
        path.write_text(text, encoding="utf-8")
    expected = path.read_text(encoding="utf-8")
    difference = "".join(
        difflib.unified_diff(
            expected.splitlines(keepends=True), text.splitlines(keepends=True), name, "now"
        )
    )
    if difference:
        raise AssertionError(f"{difference}\nWhen this is meant: {UPDATE}=1 pytest, and review.")
    return True

"""docs/command-line.md says what the commands say."""

import os
from pathlib import Path

import pytest

from tests.command_reference import reference
from tests.golden.compare import UPDATE

PAGE = Path(__file__).parents[3] / "docs" / "command-line.md"
MADE_BELOW = "<!-- What follows is made from the commands: make docs-cli -->\n\n"


def test_the_page_has_every_command_as_it_is() -> None:
    written, mark, made = PAGE.read_text(encoding="utf-8").partition(MADE_BELOW)
    assert mark
    if os.environ.get(UPDATE):
        PAGE.write_text(written + mark + reference(), encoding="utf-8")
    elif made != reference():
        pytest.fail(f"{PAGE.name} says something else than the commands: run `make docs-cli`")

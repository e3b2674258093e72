"""An error, as it is read."""

import pytest

from orchestrator.pages.stored_error import StoredError


def test_a_message_has_its_lines() -> None:
    excerpt = '{\n    "code": "step-failed",\n    "message": "Traceback:\\n  x\\nValueError"\n}'

    assert StoredError.of(excerpt) == StoredError("step-failed", "Traceback:\n  x\nValueError")


@pytest.mark.parametrize(
    "excerpt", ['{"code": "step-failed", "mess', '{"message": "x"}', '{"code": 1, "message": "x"}',
                '"x"', "null"]
)  # fmt: skip
def test_what_cannot_be_taken_apart_is_shown_as_it_stands(excerpt: str) -> None:
    assert StoredError.of(excerpt) == StoredError(None, excerpt)

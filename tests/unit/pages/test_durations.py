"""How long something took, in words."""

from datetime import timedelta

import pytest

from orchestrator.pages.duration import duration_text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 ms"),
        (0, "0 ms"),
        (0.0004, "0 ms"),
        (0.34, "340 ms"),
        (0.9999, "999 ms"),
        (1, "1.0 s"),
        (3.29, "3.2 s"),
        (59.99, "59.9 s"),
        (60, "1 min"),
        (250, "4 min 10 s"),
        (3599.9, "59 min 59 s"),
        (3600, "1 h"),
        (7_500, "2 h 5 min"),
        (86_400, "1 d"),
        (86_400 * 400 + 3_600 * 3, "400 d 3 h"),
    ],
)
def test_it_is_told_in_two_units_at_most_and_never_rounded_up(seconds: float, words: str) -> None:
    assert duration_text(timedelta(seconds=seconds)) == words

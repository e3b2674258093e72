"""The own deadline: counted from the sending, on a clock that does not step."""

import re
import time
from pathlib import Path

import pytest

from executor import deadline


def test_the_clock_counts_suspended_time_where_the_system_can_tell(monkeypatch):
    # On a machine that has never slept both clocks show the same.
    asked = []
    monkeypatch.setattr(time, "clock_gettime", lambda clock: asked.append(clock) or 1.5)

    assert deadline.monotonic_seconds() == 1.5
    assert asked == [getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)]


def test_no_other_clock_is_read_in_the_executor():
    sources = sorted(Path(deadline.__file__).parent.rglob("*.py"))

    readers = [
        source.name
        for source in sources
        if re.search(r"\btime\.(monotonic|time|perf_counter)\b", source.read_text())
    ]
    assert readers == []


@pytest.mark.parametrize(("lease_seconds", "margin"), [(2, 0.2), (10, 1.0), (30, 2.0), (3600, 2.0)])
def test_the_deadline_leaves_a_tenth_of_the_lease_but_no_more_than_two_seconds(
    lease_seconds, margin
):
    assert deadline.own_deadline(100.0, lease_seconds) == pytest.approx(
        100.0 + lease_seconds - margin
    )

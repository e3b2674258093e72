"""The own deadline: counted from the sending, on a clock that does not step."""

import time

import pytest

from executor import deadline


def test_the_clock_counts_suspended_time_where_the_system_can_tell():
    if hasattr(time, "CLOCK_BOOTTIME"):
        now = time.clock_gettime(time.CLOCK_BOOTTIME)

        assert deadline.monotonic_seconds() == pytest.approx(now, abs=1.0)


@pytest.mark.parametrize(("lease_seconds", "margin"), [(2, 0.2), (10, 1.0), (30, 2.0), (3600, 2.0)])
def test_the_deadline_leaves_a_tenth_of_the_lease_but_no_more_than_two_seconds(
    lease_seconds, margin
):
    assert deadline.own_deadline(100.0, lease_seconds) == pytest.approx(
        100.0 + lease_seconds - margin
    )

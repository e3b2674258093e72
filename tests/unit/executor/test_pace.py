"""The pace: what may be claimed ahead, given how long runs take here."""

import pytest

from executor.pace import AHEAD_SECONDS, REMEMBERED_SECONDS, Pace

LEASE_SECONDS = 30
NOW = 1000.0


@pytest.fixture
def pace():
    return Pace(LEASE_SECONDS)


def ahead(pace, slots=8, *, running_for=0.0, now=NOW):
    return pace.ahead(slots, longest_running_seconds=running_for, now=now)


def test_nothing_is_claimed_ahead_before_anything_is_known(pace):
    assert ahead(pace) == 0


@pytest.mark.parametrize("seconds", [0.0, 0.01, AHEAD_SECONDS])
def test_of_quick_runs_one_for_each_slot_is_claimed_ahead_and_no_more(pace, seconds):
    pace.note(seconds, NOW)

    assert ahead(pace, slots=8) == 8


def test_of_slower_runs_as_many_as_the_slots_get_done_in_that_time(pace):
    pace.note(4 * AHEAD_SECONDS, NOW)

    assert ahead(pace, slots=8) == 2
    assert ahead(pace, slots=3) == 0


def test_one_slow_run_counts_and_not_the_mean(pace):
    for seconds in (0.01, 4.0, 0.01):
        pace.note(seconds, NOW)

    assert ahead(pace, slots=8) == 1


def test_a_run_that_keeps_its_slot_still_counts_as_what_it_has_taken_so_far(pace):
    pace.note(0.01, NOW)

    assert ahead(pace, slots=8, running_for=4.0) == 1


@pytest.mark.parametrize(("seconds", "expected"), [(4.9, 51), (5.1, 0)])
def test_a_run_and_the_one_it_waits_for_must_be_done_in_a_third_of_a_lease(pace, seconds, expected):
    pace.note(seconds, NOW)

    assert ahead(pace, slots=500) == expected


def test_what_was_slow_is_remembered_for_a_while_and_then_forgotten(pace):
    pace.note(4.0, NOW)
    pace.note(0.01, NOW + REMEMBERED_SECONDS)

    assert ahead(pace, now=NOW + 1.9 * REMEMBERED_SECONDS) == 1
    assert ahead(pace, now=NOW + 2 * REMEMBERED_SECONDS) == 8


def test_nothing_is_known_any_more_when_no_run_was_done_for_a_while(pace):
    pace.note(0.01, NOW)

    assert ahead(pace, now=NOW + 2 * REMEMBERED_SECONDS) == 0

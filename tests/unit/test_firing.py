"""Firing: cron expressions by the clock on the wall, over the hours that it skips and repeats."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from orchestrator.firing import BadSchedule, next_firing

BERLIN = "Europe/Berlin"
# There, 02:00 to 03:00 is missing on the 29th of March and there twice on the 25th of October.
BEFORE_THE_GAP = "2026-03-28T12:00"
BEFORE_THE_FOLD = "2026-10-24T12:00"


def firings(cron: str, after: str, count: int, *, time_zone: str = BERLIN) -> list[str]:
    """The next due times, one after another as a schedule meets them."""
    found = []
    at = datetime.fromisoformat(after).replace(tzinfo=UTC)
    for _ in range(count):
        due = next_firing(cron, time_zone, after=at)
        assert due is not None
        at = due
        found.append(at.strftime("%m-%dT%H:%M"))
    return found


def test_a_plain_day_is_local_time() -> None:
    assert firings("30 2 * * *", "2026-07-01T00:00", 2) == ["07-01T00:30", "07-02T00:30"]
    assert firings("30 2 * * *", "2026-07-01T00:00", 1, time_zone="UTC") == ["07-01T02:30"]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 2 * * *", ["03-29T01:00", "03-30T00:30"]),
        ("30 2,3 * * *", ["03-29T01:00", "03-29T01:30", "03-30T00:30"]),
        ("*/20 2 * * *", ["03-29T01:00", "03-30T00:00", "03-30T00:20"]),
        ("0 2 29 3 *", ["03-29T01:00"]),
        ("0 */2 * * *", ["03-28T13:00"]),
    ],
)
def test_a_local_time_that_does_not_exist_fires_at_the_next_that_does(
    cron: str, expected: list[str]
) -> None:
    assert firings(cron, BEFORE_THE_GAP, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 2 * * *", ["10-25T00:30", "10-26T01:30"]),
        ("0,30 2 * * *", ["10-25T00:00", "10-25T00:30", "10-26T01:00"]),
        ("*/30 2-3 * * *", ["10-25T00:00", "10-25T00:30", "10-25T02:00", "10-25T02:30"]),
    ],
)
def test_a_local_time_that_exists_twice_fires_once(cron: str, expected: list[str]) -> None:
    assert firings(cron, BEFORE_THE_FOLD, len(expected)) == expected


def test_what_is_asked_in_the_second_of_two_hours_is_not_in_the_first() -> None:
    """A quarter to three for the second time: ten to three is over, however it looks."""
    assert firings("50 2 * * *", "2026-10-25T01:45", 1) == ["10-26T01:50"]


@pytest.mark.parametrize("cron", ["0 * * * *", "0 */1 * * *", "0 0-23 * * *"])
def test_an_expression_for_every_hour_goes_on_through_both(cron: str) -> None:
    over_the_fold = firings(cron, "2026-10-24T22:30", 5)
    over_the_gap = firings(cron, "2026-03-28T23:30", 3)

    assert over_the_fold == [
        f"10-{day}:00" for day in ("24T23", "25T00", "25T01", "25T02", "25T03")
    ]
    assert over_the_gap == ["03-29T00:00", "03-29T01:00", "03-29T02:00"]


def test_a_zone_that_skipped_a_whole_day() -> None:
    """Samoa had no 30th of December 2011."""
    assert firings("0 12 30 12 *", "2011-12-01T00:00", 1, time_zone="Pacific/Apia") == [
        "12-30T10:00"
    ]


@pytest.mark.parametrize("time_zone", [BERLIN, "America/New_York", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("cron", ["*/7 1-3 * * *", "59 * * * *", "0 2 * * 0", "15,45 0 1 * *"])
def test_the_next_is_later_than_the_one_before(cron: str, time_zone: str) -> None:
    at = datetime(2026, 3, 1, 0, 0, 0, 123, tzinfo=UTC)
    times = [at]
    for _ in range(200):
        due = next_firing(cron, time_zone, after=times[-1])
        assert due is not None
        times.append(due)

    assert all(earlier < later for earlier, later in pairwise(times))


def test_the_due_time_itself_is_over() -> None:
    at = datetime(2026, 7, 1, 0, 30, tzinfo=UTC)

    assert next_firing("30 2 * * *", BERLIN, after=at) == datetime(2026, 7, 2, 0, 30, tzinfo=UTC)


def test_a_time_that_comes_once_in_a_lifetime_or_never_is_no_endless_search() -> None:
    """The 29th of February on a Monday in a year that no calendar has within 50 years."""
    at = datetime(2072, 3, 1, tzinfo=UTC)

    assert next_firing("0 0 29 2 *", "UTC", after=at) == datetime(2076, 2, 29, tzinfo=UTC)
    assert next_firing("0 0 * 2 MON#5", "UTC", after=at) == datetime(2112, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "@daily",
        "* * * *",
        "61 * * * *",
        "* 24 * * *",
        "0 0 30 2 *",
        "a b c d e",
        "*/0 * * * *",
        # A sixth field would be seconds.
        "0 30 2 * * *",
    ],
)
def test_a_bad_expression_is_named(cron: str) -> None:
    with pytest.raises(BadSchedule, match="is no cron expression"):
        next_firing(cron, BERLIN, after=datetime.now(UTC))


@pytest.mark.parametrize("zone", ["", "Nowhere", "Europe/Nope", "../../etc/passwd", "/etc", "a\0b"])
def test_a_bad_zone_is_named(zone: str) -> None:
    with pytest.raises(BadSchedule, match="is no IANA time zone"):
        next_firing("0 0 * * *", zone, after=datetime.now(UTC))

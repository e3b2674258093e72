"""When claims are turned away, and when they are to come back."""

from __future__ import annotations

from uuid import uuid4

import pytest

from orchestrator.desk.pace import EMPTY_POLL_MS, LONGEST_POLL_MS, Pace
from orchestrator.errors import RateLimited

RUNS_AT_ONCE = 1_000
MANY = 200


@pytest.fixture
def pace() -> Pace:
    return Pace(runs_at_once=RUNS_AT_ONCE)


def settle(pace: Pace, *, wishes: int, runs: int, seconds: float) -> None:
    for _ in range(MANY):
        pace.served(wishes, runs, seconds)


def test_small_wishes_behind_a_slow_transaction_are_served_by_the_next_one(pace: Pace) -> None:
    settle(pace, wishes=1, runs=1, seconds=1.0)
    pace.require_room(500)


def test_wishes_that_one_transaction_has_no_room_for_are_turned_away(pace: Pace) -> None:
    settle(pace, wishes=2, runs=1_000, seconds=0.5)
    pace.require_room(7)
    with pytest.raises(RateLimited) as refused:
        pace.require_room(10)
    assert refused.value.retry_after_seconds == pytest.approx(2.5, rel=0.01)
    with pytest.raises(RateLimited) as refused:
        pace.require_room(1_000)
    assert refused.value.retry_after_seconds == LONGEST_POLL_MS / 1_000


def test_whoever_is_alone_outside_comes_back_after_a_second(pace: Pace) -> None:
    pace.served(1, 1, 0.002)
    assert pace.poll_after_ms(("fleet:one", uuid4())) == pytest.approx(EMPTY_POLL_MS, rel=0.21)


def test_the_more_are_outside_the_more_seldom_each_asks(pace: Pace) -> None:
    settle(pace, wishes=1, runs=1, seconds=0.01)
    first = ("fleet:0", uuid4())
    for number in range(50):
        pace.poll_after_ms((f"fleet:{number}", uuid4()))
    # A tenth of one thread's time for 51 that take a hundredth of a second each.
    assert pace.poll_after_ms(first) == pytest.approx(5_100, rel=0.25)

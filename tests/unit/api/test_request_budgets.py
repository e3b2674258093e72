"""Request budgets: what a key may ask at once, how soon again, and what is kept of it."""

import pytest

from orchestrator.api.request_budgets import RequestBudgets


@pytest.fixture
def clock():
    return [1_000.0]


@pytest.fixture
def budgets(clock):
    """Four a second, eight at once, three keys."""
    return RequestBudgets(4, burst=8, most_keys=3, clock=lambda: clock[0])


def taken(budgets, key, count):
    return sum(not budgets.take(key) for _ in range(count))


def test_a_rested_key_may_ask_so_often_at_once_and_then_at_the_rate(budgets, clock):
    assert taken(budgets, "a", 20) == 8
    assert budgets.take("a") == 0.25
    clock[0] += 0.25
    assert taken(budgets, "a", 20) == 1
    clock[0] += 1
    assert taken(budgets, "a", 20) == 4
    clock[0] += 3_600
    assert taken(budgets, "a", 20) == 8


def test_who_asks_no_more_often_than_the_rate_is_never_refused(budgets, clock):
    for _ in range(1_000):
        assert budgets.take("a") == 0
        clock[0] += 0.25


def test_asking_too_often_does_not_put_off_the_next(budgets, clock):
    taken(budgets, "a", 8)
    for _ in range(8):
        assert budgets.take("a") > 0
        clock[0] += 0.03125

    assert budgets.take("a") == 0


def test_each_key_has_a_budget_of_its_own(budgets):
    assert [taken(budgets, key, 20) for key in "abc"] == [8, 8, 8]


def test_what_is_given_back_can_be_taken_again(budgets):
    taken(budgets, "a", 8)
    budgets.give_back("a")
    budgets.give_back("somebody else")

    assert taken(budgets, "a", 20) == 1


def test_a_look_takes_nothing(budgets):
    assert [budgets.wait_seconds("a") for _ in range(20)] == [0] * 20
    assert taken(budgets, "a", 20) == 8
    assert budgets.wait_seconds("a") == 0.25


def test_only_so_many_keys_are_kept_those_that_took_last(budgets):
    for key in "abc":
        taken(budgets, key, 8)
    budgets.give_back("a")
    budgets.take("a")
    budgets.take("d")

    assert [budgets.wait_seconds(key) for key in "acd"] == [0.25, 0.25, 0]
    assert budgets.wait_seconds("b") == 0
    for number in range(10_000):
        budgets.take(f"{number}")
    assert len(budgets._used_until) == 3

"""Turns: so many runs have a slot, the others wait in the order in which they came."""

import pytest

from executor.execution import Execution
from executor.in_flight import InFlightRun
from executor.leases import HeldLeases
from executor.pace import Pace
from executor.turns import Turns

NOW = 1000.0


@pytest.fixture
def turns():
    return Turns(2, Pace(lease_seconds=30))


@pytest.fixture
def line_up(turns, dispatch):
    """Let a run wait for its turn."""

    def line_up():
        made = dispatch()
        execution = Execution(InFlightRun(made.run.id), HeldLeases().hold(made, NOW), made)
        turns.line_up(execution, NOW)
        return execution

    return line_up


def test_who_came_first_has_the_first_turn_and_no_more_than_there_are_slots(turns, line_up):
    first, second, third = (line_up() for _ in range(3))

    assert [turns.take(NOW) for _ in range(3)] == [first, second, None]
    assert turns.waiting() == [third]


def test_a_slot_that_is_left_goes_to_who_waits(turns, line_up):
    first, _, third = (line_up() for _ in range(3))
    turns.take(NOW)
    turns.take(NOW)

    turns.leave(first, NOW)

    assert turns.take(NOW) is third
    assert not turns.is_waiting(third)


def test_who_leaves_the_line_never_gets_a_turn_and_says_nothing_of_the_pace(turns, line_up):
    first, second = line_up(), line_up()

    turns.leave(first, NOW)

    assert turns.take(NOW) is second
    assert turns.take(NOW) is None
    assert turns.ahead(NOW) == 0


def test_the_pace_is_that_of_the_slots_and_of_the_run_that_has_had_one_for_longest(turns, line_up):
    quick = line_up()
    turns.take(NOW)
    turns.leave(quick, NOW + 0.01)
    assert turns.ahead(NOW + 0.01) == 2
    line_up()
    line_up()
    turns.take(NOW + 0.01)
    turns.take(NOW + 1.5)

    assert turns.ahead(NOW + 1.51) == 0

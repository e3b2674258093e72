"""Parking: who is called when a queue rings, and who must look again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace

import pytest

from orchestrator.desk import parking as module
from orchestrator.desk.parking import REMEMBERED_QUEUES, Parking, Rings


class Waiter:
    """Somebody who waits for these queues."""

    def __init__(self, *queues: str) -> None:
        self.queues = queues
        self.called_at: Rings = ()


Park = Callable[..., Waiter]


@pytest.fixture
def parking() -> Parking[Waiter]:
    return Parking(8)


@pytest.fixture
def park(parking: Parking[Waiter]) -> Park:
    """Park one more, who has just looked."""

    def park(*queues: str) -> Waiter:
        waiter = Waiter(*queues)
        assert parking.park(waiter, parking.rings(queues))
        return waiter

    return park


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The parking's clock, which stands still; `at` says where."""
    clock = SimpleNamespace(at=1_000.0)
    clock.monotonic = lambda: clock.at
    monkeypatch.setattr(module, "time", clock)
    return clock


def called(rung: tuple[list[Waiter], dict[str, int]]) -> list[Waiter]:
    return rung[0]


def test_for_each_run_that_arrives_one_is_called_the_longest_waiting_first(
    parking: Parking[Waiter], park: Park
) -> None:
    first, second, third = park("a"), park("a"), park("a")

    assert parking.ring({"a": 2}) == ([first, second], {})
    assert parking.waiting() == [third]


def test_runs_that_nobody_here_waits_for_are_left_over(
    parking: Parking[Waiter], park: Park
) -> None:
    waiter = park("a")

    assert parking.ring({"a": 3, "b": 2}) == ([waiter], {"a": 2, "b": 2})


def test_a_ring_of_another_queue_calls_nobody(parking: Parking[Waiter], park: Park) -> None:
    waiter = park("a")

    assert called(parking.ring({"b": 1})) == []
    assert parking.waiting() == [waiter]


def test_whoever_waits_for_several_queues_is_called_once_and_leaves_all_of_them(
    parking: Parking[Waiter], park: Park
) -> None:
    both, only = park("a", "b"), park("b")

    assert parking.ring({"a": 1, "b": 1}) == ([both, only], {})
    assert parking.ring({"a": 1, "b": 1}) == ([], {"a": 1, "b": 1})
    assert len(parking) == 0


def test_nobody_parks_whose_queue_has_rung_since_the_look(parking: Parking[Waiter]) -> None:
    waiter = Waiter("a", "b")
    looked_at = parking.rings(waiter.queues)
    parking.ring({"b": 1})

    assert not parking.park(waiter, looked_at)
    assert (len(parking), parking.ring({"a": 1})) == (0, ([], {"a": 1}))
    assert parking.park(waiter, parking.rings(waiter.queues))


def test_a_ring_of_another_queue_since_the_look_is_no_reason_to_look_again(
    parking: Parking[Waiter],
) -> None:
    waiter = Waiter("a")
    looked_at = parking.rings(waiter.queues)
    parking.ring({"b": 1})

    assert parking.park(waiter, looked_at)


def test_whoever_is_called_is_told_the_ring_that_called_it(
    parking: Parking[Waiter], park: Park
) -> None:
    """Only a later one sends it to look again: it looks after this one."""
    waiter = park("a", "b")
    parking.ring({"b": 1})

    assert waiter.called_at == (0, 1)
    assert parking.park(waiter, waiter.called_at)
    assert called(parking.ring({"a": 1})) == [waiter]
    parking.ring({"a": 1})
    assert not parking.park(waiter, waiter.called_at)


def test_all_queues_of_one_ring_have_rung_when_anybody_is_called(
    parking: Parking[Waiter], park: Park
) -> None:
    waiter = park("a", "b")
    parking.ring({"a": 1, "b": 1})

    assert waiter.called_at == parking.rings(["a", "b"])


def test_whoever_leaves_is_not_called(parking: Parking[Waiter], park: Park) -> None:
    waiter = park("a", "b")

    assert parking.leave(waiter)
    assert parking.ring({"a": 1, "b": 1}) == ([], {"a": 1, "b": 1})


def test_whoever_was_called_cannot_leave(parking: Parking[Waiter], park: Park) -> None:
    waiter = park("a")
    parking.ring({"a": 1})

    assert not parking.leave(waiter)


def test_those_that_are_named_are_called_if_they_are_parked_still(
    parking: Parking[Waiter], park: Park
) -> None:
    gone, kept, named = park("a"), park("a"), park("b")
    parking.leave(gone)

    assert parking.call([gone, named]) == [named]
    assert named.called_at == (0,)
    assert parking.waiting() == [kept]
    assert called(parking.ring({"b": 1})) == []


def test_when_all_places_are_taken_nobody_parks_until_one_is_given_back() -> None:
    parking: Parking[Waiter] = Parking(2)
    first, second, third = Waiter("a"), Waiter("a"), Waiter("a")
    parked = [parking.park(waiter, (0,)) for waiter in (first, second, third)]
    full = parking.is_full
    parking.leave(first)

    assert (parked, full) == ([True, True, False], True)
    assert (parking.is_full, parking.park(third, (0,))) == (False, True)
    assert called(parking.ring({"a": 9})) == [second, third]


def test_closing_calls_all_and_lets_nobody_park_any_more(
    parking: Parking[Waiter], park: Park
) -> None:
    first, second = park("a"), park("b")

    assert parking.close() == [first, second]
    assert (len(parking), parking.is_full) == (0, True)
    assert not parking.park(Waiter("a"), (0,))


def test_queues_are_known_to_be_empty_for_a_while_after_a_look(
    parking: Parking[Waiter], clock: SimpleNamespace
) -> None:
    parking.note_empty(["a", "b"], (0, 0))

    clock.at += 4.0
    assert parking.known_empty(["a", "b"], within_seconds=4.0)
    clock.at += 0.001
    assert not parking.known_empty(["a", "b"], within_seconds=4.0)


@pytest.mark.parametrize("queues", [["b"], ["a", "b"], ["b", "a"]])
def test_a_queue_that_nobody_looked_at_is_not_known_to_be_empty(
    parking: Parking[Waiter], queues: list[str]
) -> None:
    parking.note_empty(["a"], (0,))

    assert not parking.known_empty(queues, within_seconds=4.0)


@pytest.mark.parametrize("rung", ["a", "b"])
def test_a_queue_that_has_rung_since_is_not_known_to_be_empty(
    parking: Parking[Waiter], clock: SimpleNamespace, rung: str
) -> None:
    parking.note_empty(["a", "b"], (0, 0))
    parking.ring({rung: 1})

    assert not parking.known_empty(["a", "b"], within_seconds=4.0)


def test_what_rang_during_the_look_is_not_known_to_be_empty(
    parking: Parking[Waiter], clock: SimpleNamespace
) -> None:
    looked_at = parking.rings(["a"])
    parking.ring({"a": 1})
    parking.note_empty(["a"], looked_at)

    assert not parking.known_empty(["a"], within_seconds=4.0)
    parking.note_empty(["a"], parking.rings(["a"]))
    assert parking.known_empty(["a"], within_seconds=4.0)


def test_of_ever_new_queues_a_bounded_number_is_remembered(parking: Parking[Waiter]) -> None:
    def look_at(queues: Iterable[int]) -> None:
        for queue in queues:
            parking.note_empty([f"q{queue}"], (0,))

    look_at(range(3 * REMEMBERED_QUEUES))

    assert len(parking._seen_empty) <= REMEMBERED_QUEUES + 1
    assert parking.known_empty([f"q{3 * REMEMBERED_QUEUES - 1}"], within_seconds=60.0)

"""Of forms that trickle in from strangers, the oldest makes room for the newest."""

from contextlib import ExitStack

import pytest

from orchestrator.api.refusals import RequestTimeout
from orchestrator.api.slow_bodies import SlowBodies
from orchestrator.pages.strangers import AT_ONCE, WITHIN_SECONDS, Strangers


class Trickling:
    """A body that has something to do while it is read."""

    def __init__(self, meanwhile):
        self._meanwhile = meanwhile

    def read(self, size):
        self._meanwhile()
        return b" " * size


@pytest.fixture
def dropped():
    return []


@pytest.fixture
def body(dropped):
    bodies = SlowBodies(at_once=1)

    def body(name, meanwhile=lambda: None):
        return bodies.timed(Trickling(meanwhile), lambda politely: dropped.append((name, politely)))

    return body


def test_the_newest_takes_the_place_of_the_oldest(body, dropped):
    strangers = Strangers()

    def come():
        with ExitStack() as others:
            for number in range(AT_ONCE):
                others.enter_context(strangers.place(body(number)))

    oldest = body("oldest", come)
    with strangers.place(oldest), pytest.raises(RequestTimeout):
        oldest.read(1)

    assert dropped == [("oldest", False)]


def test_who_has_been_read_makes_room_by_himself(body, dropped):
    strangers = Strangers()
    for number in range(3 * AT_ONCE):
        one = body(number)
        with strangers.place(one):
            assert one.read(1) == b" "

    assert dropped == []


def test_a_strangers_form_has_a_second(body):
    one = body("one")
    with Strangers().place(one):
        assert one.within_seconds == WITHIN_SECONDS == 1.0

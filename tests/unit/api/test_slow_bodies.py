"""A body is either read or cut off, never both."""

import contextvars
import gc
import weakref

import pytest

from orchestrator.api.refusals import RequestTimeout
from orchestrator.api.slow_bodies import (
    BODY_WITHIN_SECONDS,
    CROWDED_SECONDS,
    SlowBodies,
    TimedBody,
)


class Body:
    """A server's body, of which the last bytes come while the watch looks."""

    def __init__(self, while_it_is_read=lambda: None):
        self.while_it_is_read = while_it_is_read

    def read(self, size):
        self.while_it_is_read()
        return b" " * size


def never(_politely):
    raise AssertionError("it was cut off")


def test_what_was_read_in_time_is_not_cut_off():
    being_read = set()
    body = TimedBody(Body(), never, being_read)

    assert body.read(2) == b"  "
    assert not being_read
    assert not body.take_out()


def test_what_comes_when_it_is_cut_off_belongs_to_no_request():
    source = Body()
    body = TimedBody(source, never, set())
    source.while_it_is_read = body.take_out

    with pytest.raises(RequestTimeout):
        body.read(2)


def test_a_body_is_timed_from_its_first_read_on():
    source = Body()
    body = TimedBody(source, never, set())
    body.read(1)
    first = body.began_at
    body.read(1)

    assert body.began_at == first > 0


def test_a_request_whose_body_was_read_is_gone_with_its_last_reference():
    class Request:
        pass

    request, current = Request(), contextvars.ContextVar("request")
    request.body = TimedBody(Body(), never, set())
    gone = weakref.ref(request)
    token = current.set(request)
    request.body.read(1)
    current.reset(token)
    gc.disable()
    try:
        del request

        assert gone() is None
    finally:
        gc.enable()


def test_what_was_read_is_not_cut_off_by_a_watch_that_comes_late():
    body = TimedBody(Body(), never, set())
    body.read(1)

    body.cut_off()


def test_a_body_is_cut_off_as_part_of_its_request():
    source, seen = Body(), []
    current = contextvars.ContextVar("request")
    body = TimedBody(source, lambda _politely: seen.append(current.get()), set())
    source.while_it_is_read = lambda: contextvars.Context().run(body.cut_off)
    current.set("mine")

    with pytest.raises(RequestTimeout):
        body.read(1)
    assert seen == ["mine"]


def reading(bodies, began_at, within_seconds=BODY_WITHIN_SECONDS):
    body = bodies.timed(Body(), never)
    body.began_at, body.within_seconds = began_at, within_seconds
    bodies._being_read.add(body)
    return body


def test_of_too_many_slow_bodies_those_that_began_first_are_late():
    bodies = SlowBodies(at_once=2)
    slow = [reading(bodies, began_at) for began_at in (1.0, 2.0, 3.0)]
    reading(bodies, 5.0 - CROWDED_SECONDS / 2)

    assert bodies._overdue(5.0) == slow[:1]


def test_a_strangers_body_is_late_before_anybody_elses():
    bodies = SlowBodies(at_once=2)
    reading(bodies, 1.0)
    reading(bodies, 2.0)
    strangers = [reading(bodies, 3.0, within_seconds=1.0) for _ in range(10)]

    assert set(bodies._overdue(5.0)) == set(strangers)

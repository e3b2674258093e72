"""One look for all who ask: one at a time, kept for a while, and nobody kept waiting for long."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.desk.kept import Kept
from tests.acceptance.waiting import PATIENCE_SECONDS

FOR_GOOD = 3_600.0


def test_those_who_ask_together_share_one_look():
    may_end, looks = threading.Event(), []

    def look():
        looks.append(threading.get_ident())
        assert may_end.wait(PATIENCE_SECONDS)
        return "found"

    kept = Kept(look, seconds=FOR_GOOD, patience_seconds=PATIENCE_SECONDS)
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(kept.now) for _ in range(8)]
        may_end.set()

        assert {one.result(PATIENCE_SECONDS) for one in asked} == {"found"}
    assert len(looks) == 1


def test_what_is_too_old_is_looked_for_again():
    numbers = iter(range(9))
    kept = Kept(lambda: next(numbers), seconds=0)

    assert [kept.now(), kept.now()] == [0, 1]


def test_who_comes_while_somebody_looks_is_given_what_there_is():
    looking, may_end, numbers = threading.Event(), threading.Event(), iter(range(9))

    def look():
        number = next(numbers)
        if number:
            looking.set()
            assert may_end.wait(PATIENCE_SECONDS)
        return number

    kept = Kept(look, seconds=0)
    kept.now()
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(kept.now)
        assert looking.wait(PATIENCE_SECONDS)

        assert kept.now() == 0
        may_end.set()
        assert slow.result(PATIENCE_SECONDS) == 1


def test_a_look_that_failed_is_done_again():
    answers = iter([OSError("away"), "found"])

    def look():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    kept = Kept(look, seconds=FOR_GOOD)
    with pytest.raises(OSError, match="away"):
        kept.now()

    assert kept.now() == "found"

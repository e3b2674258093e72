"""Where handlers run: threads that survive anything, and one loop that does too."""

import asyncio
import threading

import pytest

from executor.workers import HandlerLoop, Workers

WAIT_SECONDS = 10


class Ended:
    """What a loop has said of the end of an awaitable."""

    def __init__(self):
        self._said = threading.Event()
        self.result = None
        self.raised = None

    def __call__(self, result, raised):
        self.result, self.raised = result, raised
        self._said.set()

    def wait(self):
        assert self._said.wait(WAIT_SECONDS)
        return self


def test_as_many_pieces_of_work_run_at_once_as_there_are_threads():
    workers = Workers(4)
    all_running = threading.Barrier(5)

    for _ in range(4):
        workers.submit(lambda: all_running.wait(WAIT_SECONDS))

    all_running.wait(WAIT_SECONDS)


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_thread_survives_whatever_work_raises(raised):
    workers = Workers(1)
    survived = threading.Event()

    def surprise():
        raise raised("surprise")

    workers.submit(surprise)
    workers.submit(survived.set)

    assert survived.wait(WAIT_SECONDS)


def test_the_loop_gives_the_result_of_an_awaitable():
    ended = Ended()

    async def answer():
        await asyncio.sleep(0)
        return 42

    HandlerLoop().run(answer(), lambda _: None, ended)

    assert ended.wait().result == 42


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt])
def test_the_loop_survives_whatever_an_awaitable_raises(raised):
    loop = HandlerLoop()
    first, second = Ended(), Ended()

    async def surprise():
        raise raised("surprise")

    async def answer():
        return 42

    loop.run(surprise(), lambda _: None, first)
    assert isinstance(first.wait().raised, raised)
    loop.run(answer(), lambda _: None, second)
    assert second.wait().result == 42


def test_an_awaitable_can_be_interrupted_from_any_thread():
    ended = Ended()
    interrupts = []
    begun = threading.Event()

    async def endless():
        begun.set()
        await asyncio.Event().wait()

    HandlerLoop().run(endless(), interrupts.append, ended)
    assert begun.wait(WAIT_SECONDS)
    interrupts[0]()

    assert isinstance(ended.wait().raised, asyncio.CancelledError)

"""Where handlers run: threads that survive anything, and one loop that does too."""

import asyncio
import queue
import sys
import threading
import time

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


def test_every_piece_of_work_is_done_once_whoever_submits_it():
    workers = Workers(4)
    done = queue.SimpleQueue()

    def submit_many(submitter):
        for number in range(500):
            workers.submit(lambda piece=(submitter, number): done.put(piece))

    submitters = [threading.Thread(target=submit_many, args=[one]) for one in range(4)]
    for submitter in submitters:
        submitter.start()
    for submitter in submitters:
        submitter.join()

    pieces = sorted(done.get(timeout=WAIT_SECONDS) for _ in range(2000))
    assert pieces == [(submitter, number) for submitter in range(4) for number in range(500)]
    assert done.empty()


def test_an_idle_thread_is_woken_before_another_is_started():
    workers = Workers(100)
    done, names = queue.SimpleQueue(), set()
    for _ in range(50):
        workers.submit(lambda: done.put(threading.current_thread().name))
        names.add(done.get(timeout=WAIT_SECONDS))
        until = time.monotonic() + WAIT_SECONDS
        while not workers._idle and time.monotonic() < until:
            time.sleep(0.001)

    assert names == {"handler-1"}


def test_work_that_comes_while_the_only_thread_goes_to_rest_is_done():
    workers = Workers(1)
    done = queue.SimpleQueue()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # So that it happens in the middle of everything.
    try:
        for number in range(3000):
            workers.submit(lambda piece=number: done.put(piece))
            assert done.get(timeout=WAIT_SECONDS) == number
    finally:
        sys.setswitchinterval(interval)


def test_work_that_waits_for_other_work_is_overtaken_by_it():
    workers = Workers(50)
    all_running = threading.Barrier(51)

    def submit_all():
        for _ in range(49):
            workers.submit(lambda: all_running.wait(WAIT_SECONDS))
        all_running.wait(WAIT_SECONDS)

    workers.submit(submit_all)

    all_running.wait(WAIT_SECONDS)


@pytest.mark.parametrize("idle", [False, True])
def test_whoever_lets_a_piece_of_work_begin_goes_on_after_it(idle):
    workers = Workers(1)
    begun = []
    if idle:
        workers.submit(lambda: None)
        until = time.monotonic() + WAIT_SECONDS
        while not workers._idle and time.monotonic() < until:
            time.sleep(0.001)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(WAIT_SECONDS)  # Nobody goes on before another one waits.
    try:
        workers.submit(lambda: begun.append("work"))
        workers.let_begin(WAIT_SECONDS)
        begun.append("who let it begin")
    finally:
        sys.setswitchinterval(interval)

    assert begun == ["work", "who let it begin"]


def test_nobody_waits_for_work_that_has_begun_or_never_came():
    workers, running, over = Workers(1), threading.Event(), threading.Event()
    workers.let_begin(WAIT_SECONDS)
    workers.submit(lambda: (running.set(), over.wait(WAIT_SECONDS)))
    running.wait(WAIT_SECONDS)
    workers.submit(lambda: None)
    began_at = time.monotonic()

    workers.let_begin(WAIT_SECONDS)

    assert time.monotonic() - began_at < WAIT_SECONDS
    over.set()


def test_a_thread_that_cannot_be_started_is_done_without(monkeypatch):
    workers = Workers(4)
    done, go_on = queue.SimpleQueue(), threading.Event()
    workers.submit(lambda: go_on.wait(WAIT_SECONDS))
    start = threading.Thread.start

    def refuse(thread):
        if thread.name.startswith("handler-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for number in range(3):
        workers.submit(lambda piece=number: done.put(piece))
    go_on.set()
    assert [done.get(timeout=WAIT_SECONDS) for _ in range(3)] == [0, 1, 2]
    monkeypatch.undo()

    both = threading.Barrier(3)
    for _ in range(2):
        workers.submit(lambda: both.wait(WAIT_SECONDS))
    both.wait(WAIT_SECONDS)


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

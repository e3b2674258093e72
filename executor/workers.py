"""Where handlers run: worker threads for plain functions, one event loop for `async def`."""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

log = structlog.get_logger()

Work = Callable[[], None]


class Workers:
    """
    Daemon threads, at most one per slot, started and woken as they are needed.

    Whoever takes a piece of work wakes one more thread for what is left, and no
    other is woken before that one has come. So a hundred pieces that wait are soon
    executed side by side, while of a hundred that end at once a few threads execute
    one after another, and no piece costs a wake-up of its own.

    Daemons, because a handler that ignores every request to stop must not keep
    the process from ending.
    """

    def __init__(self, most_threads: int) -> None:
        self._most_threads = most_threads
        self._work: deque[Work] = deque()
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0
        self._one_is_coming = False
        # Held from the moment that one is woken until it comes.
        self._arrival = threading.Lock()

    def submit(self, work: Work) -> None:
        """Run a piece of work on a thread of its own as soon as one is free."""
        self._work.append(work)
        self._wake_one()

    def let_begin(self, timeout_seconds: float) -> None:
        """
        Wait until the thread that was woken last has come, if it has not.

        Whoever goes on instead keeps the interpreter, and the thread waits for that.
        """
        if self._one_is_coming and self._arrival.acquire(timeout=timeout_seconds):
            self._arrival.release()

    def _wake_one(self) -> None:
        # Read without the lock: whoever is coming looks for work after it has said
        # that it came, so it finds what was there before.
        if self._one_is_coming:
            return
        with self._lock:
            if self._one_is_coming or not self._work:
                return
            if self._idle > 0:
                self._idle -= 1
                self._expect_one()
                self._wakes.put(None)
            elif self._threads < self._most_threads:
                self._start_one()

    def _start_one(self) -> None:
        name = f"handler-{self._threads + 1}"
        self._expect_one()
        try:
            threading.Thread(target=self._run, name=name, daemon=True).start()
        except RuntimeError:  # The system allows no more: those that run do all the work.
            self._has_come()
            log.exception("thread_not_started", threads=self._threads)
        else:
            self._threads += 1

    def _expect_one(self) -> None:
        # Nobody keeps it for long: `let_begin` gives it back at once.
        self._arrival.acquire()
        self._one_is_coming = True

    def _has_come(self) -> None:
        self._one_is_coming = False
        self._arrival.release()

    def _run(self) -> None:
        while True:
            self._has_come()
            while (work := self._next()) is not None:
                try:
                    work()
                except BaseException:  # A thread that dies would take its slot with it.
                    log.exception("worker_surprised")
            self._wakes.get()

    def _next(self) -> Work | None:
        """The next piece of work; none when the thread has been noted as idle."""
        while True:
            try:
                work = self._work.popleft()
            except IndexError:
                with self._lock:
                    if not self._work:
                        self._idle += 1
                        return None
                continue
            if self._work:
                self._wake_one()
            return work


class HandlerLoop:
    """The one event loop of all `async def` handlers, in a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(
        self,
        awaitable: Awaitable[Any],
        on_begun: Callable[[Callable[[], None]], None],
        on_ended: Callable[[Any, BaseException | None], None],
    ) -> None:
        """
        Await something on the loop.

        Args:
            on_begun: Called on the loop with a function that cancels, from any thread.
            on_ended: Called on the loop with the result, or with what was raised.
        """
        loop = self._running_loop()

        async def guarded() -> None:
            # SystemExit and KeyboardInterrupt would end the loop and all its
            # handlers with it, so they end here.
            task = asyncio.current_task()
            if task is not None:
                on_begun(lambda: _cancel(loop, task))
            try:
                result = await awaitable
            except BaseException as raised:  # noqa: BLE001
                on_ended(None, raised)
            else:
                on_ended(result, None)

        asyncio.run_coroutine_threadsafe(guarded(), loop)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="handler-loop", daemon=True
                ).start()
            return self._loop


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    loop.call_soon_threadsafe(task.cancel)

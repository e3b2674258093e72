"""Where handlers run: worker threads for plain functions, one event loop for `async def`."""

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

log = structlog.get_logger()

Work = Callable[[], None]


class Workers:
    """
    Daemon threads, at most one per slot, started as they are needed.

    Daemons, because a handler that ignores every request to stop must not keep
    the process from ending.
    """

    def __init__(self, most_threads: int) -> None:
        self._most_threads = most_threads
        self._work: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    def submit(self, work: Work) -> None:
        """Run a piece of work on a thread of its own as soon as one is free."""
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            elif self._threads < self._most_threads:
                self._threads += 1
                name = f"handler-{self._threads}"
                threading.Thread(target=self._run, name=name, daemon=True).start()
        self._work.put(work)

    def _run(self) -> None:
        while True:
            work = self._work.get()
            try:
                work()
            except BaseException:  # A thread that dies would take its slot with it.
                log.exception("worker-surprised")
            with self._lock:
                self._idle += 1


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

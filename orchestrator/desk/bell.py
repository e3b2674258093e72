"""The bell: tells those that are parked that runs have become claimable.

In this process at once. In the others through the database, gathered: at most
once each 20 ms, after the runs' own transactions. One that is lost costs little:
all that are parked look by themselves as well.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress

import psycopg
import structlog

from orchestrator.store.bell_line import BellLine

log = structlog.get_logger(__name__)

GATHER_SECONDS = 0.02
CONNECT_AGAIN_SECONDS = 1.0

Hear = Callable[[Mapping[str, int]], Mapping[str, int]]
"""Serves those that are parked here; gives what is left over for other processes."""


class Bell:
    """One process's bell. Until it is started it rings for this process alone."""

    def __init__(self, url: str) -> None:
        self.hear: Hear = lambda arrived: arrived
        """Who is told; nobody is parked until it is set."""
        self._url = url
        self._lock = threading.Lock()
        self._untold: Counter[str] = Counter()
        self._wakes: socket.socket | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.hears_others = False
        """Whether rings of other processes arrive here."""

    def start(self) -> None:
        """Ring for the other processes as well, and listen to them, as soon as that is possible."""
        woken, self._wakes = socket.socketpair()
        self._thread = threading.Thread(target=self._run, args=[woken], name="bell", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tell what is untold, and be silent."""
        self._stopping = True
        if self._thread is not None:
            with self._lock:
                self._wake()
            self._thread.join(CONNECT_AGAIN_SECONDS)
            with self._lock:
                wakes, self._wakes = self._wakes, None
            if wakes is not None:
                wakes.close()

    def ring(self, arrived: Mapping[str, int]) -> None:
        """So many runs have become claimable in these queues, and are committed."""
        left_over = self.hear(arrived) if arrived else {}
        if not left_over or self._thread is None:
            return
        with self._lock:
            silent = not self._untold
            self._untold.update(left_over)
            if silent:
                self._wake()

    def _wake(self) -> None:
        if self._wakes is not None:
            # It has stopped already: nothing is told any more.
            with suppress(OSError):
                self._wakes.send(b"\0")

    def _run(self, woken: socket.socket) -> None:
        with woken:
            cut = False
            while not self._stopping:
                try:
                    with BellLine(self._url) as line:
                        self.hears_others, cut = line.hears, False
                        self._attend(line, woken)
                except (psycopg.Error, OSError) as error:
                    if not cut:
                        log.warning("bell_line_cut", kind=type(error).__name__)
                    cut = True
                    _wait(woken, timeout_seconds=CONNECT_AGAIN_SECONDS)
                except Exception:
                    log.exception("bell_failed")
                    _wait(woken, timeout_seconds=CONNECT_AGAIN_SECONDS)
                finally:
                    self.hears_others = False

    def _attend(self, line: BellLine, woken: socket.socket) -> None:
        told_at = 0.0
        while True:
            for arrived in line.told():
                self.hear(arrived)
            if self._untold:
                pause_seconds = told_at + GATHER_SECONDS - time.monotonic()
                if pause_seconds > 0 and not self._stopping:
                    time.sleep(pause_seconds)
                line.tell(self._take_untold())
                told_at = time.monotonic()
                # What others told meanwhile came with the answer: nothing more will wake for it.
                continue
            if self._stopping:
                return
            _wait(woken, line)

    def _take_untold(self) -> Counter[str]:
        with self._lock:
            untold, self._untold = self._untold, Counter()
        return untold


def _wait(
    woken: socket.socket, line: BellLine | None = None, *, timeout_seconds: float | None = None
) -> None:
    """Wait until something is to be told, or was told."""
    # Not select(): descriptors may be many here.
    with selectors.DefaultSelector() as selector:
        selector.register(woken, selectors.EVENT_READ)
        if line is not None:
            selector.register(line, selectors.EVENT_READ)
        ready = [key.fileobj for key, _ in selector.select(timeout_seconds)]
    if woken in ready:
        woken.recv(4_096)

"""Claims that are parked at an orchestrator, as many idle executors park theirs."""

import heapq
import selectors
import time
from collections.abc import Sequence

import orjson

from tests.bench.caller import Answer, Caller
from tests.bench.failure import BenchError
from tests.bench.load import request_ids

BUSY = (429, 503)
# What an executor waits at least before it repeats a claim that was refused so.
REFUSED_SECONDS = 1.0


class ParkedClaims:
    """
    One connection for each executor, with one claim parked on it, again and again.

    The first ones are sent one after another within the time that each waits, so
    that from then on about as many end in one second as in any other.

    Args:
        claims: One for each executor, as text.
        wait_seconds: How long each of them asks to wait.

    Attributes:
        refused: How many claims were told to come back later (429, 503).
    """

    def __init__(self, host: str, port: int, claims: Sequence[str], wait_seconds: float) -> None:
        self._address = (host, port)
        self._claims = claims
        self._wait_seconds = wait_seconds
        self._request_ids = request_ids()
        self.refused = 0
        self._selector = selectors.DefaultSelector()
        # By their place in `claims`; connected when they first ask.
        self._callers: dict[int, Caller] = {}
        now, apart = time.perf_counter(), wait_seconds / max(1, len(claims))
        # When each executor asks next.
        self._due = [(now + place * apart, place) for place in range(len(claims))]

    @property
    def executors(self) -> int:
        return len(self._claims)

    def keep(self, seconds: float) -> None:
        """
        Send, wait for answers, and send again, for so long.

        Raises:
            BenchError: A claim got something, was not parked, or was answered with an error.
        """
        ends_at = time.perf_counter() + seconds
        while (now := time.perf_counter()) < ends_at:
            while self._due and self._due[0][0] <= now:
                self._caller(heapq.heappop(self._due)[1]).ask()
            until = min(ends_at, self._due[0][0]) if self._due else ends_at
            for key, _ in self._selector.select(max(0.0, until - time.perf_counter())):
                if (answer := self._callers[key.data].hear()) is not None:
                    again_at = answer.came_at + self._pause_seconds(answer)
                    heapq.heappush(self._due, (again_at, key.data))

    def close(self) -> None:
        """Hang up, whatever is under way."""
        self._selector.close()
        for caller in self._callers.values():
            caller.socket.close()

    def _caller(self, place: int) -> Caller:
        if place not in self._callers:
            caller = Caller(*self._address, self._claims[place], None, self._request_ids)
            self._selector.register(caller.socket, selectors.EVENT_READ, place)
            self._callers[place] = caller
        return self._callers[place]

    def _pause_seconds(self, answer: Answer) -> float:
        """How long the orchestrator wants the executor to wait before it asks again."""
        if answer.status in BUSY:
            self.refused += 1
            return REFUSED_SECONDS
        said = orjson.loads(answer.body)
        if answer.status != 200 or said["dispatches"]:
            raise BenchError(f"an idle claim was answered {answer.status}: {answer.body.decode()}")
        waited_seconds = answer.came_at - answer.asked_at
        if waited_seconds < self._wait_seconds / 2:
            raise BenchError(
                f"a claim was not parked: it was answered after {waited_seconds:.2f} s"
            )
        return float(said["nextPollAfterMs"]) / 1000

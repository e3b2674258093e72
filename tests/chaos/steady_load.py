"""Claims at a steady pace, each reported at once, by clients that repeat what was refused."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.acceptance.client import Client, Json, outcome_of

CLIENTS = 8
REPEAT_AFTER_SECONDS = 0.05
GIVE_UP_SECONDS = 30.0


@dataclass
class SteadyLoad:
    """
    What was asked and answered while the load ran.

    Attributes:
        statuses: How often each status was answered.
        seconds: How long each request took.
        executed: The runs whose success was stored.
        lasted_seconds: How long the load ran.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    lasted_seconds: float = 0.0
    _is_over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def claims_per_second(self) -> float:
        return len(self.executed) / self.lasted_seconds

    @property
    def longest_seconds(self) -> float:
        return max(self.seconds)

    def __str__(self) -> str:
        ordered = sorted(self.seconds)
        return (
            f"{len(self.executed)} claims in {self.lasted_seconds:.1f} s"
            f" ({self.claims_per_second:.0f}/s), statuses {dict(self.statuses)},"
            f" half within {1000 * ordered[len(ordered) // 2]:.0f} ms,"
            f" longest {1000 * ordered[-1]:.0f} ms"
        )

    def claim_and_report(self, client: Client, queue: str, *, every_seconds: float) -> None:
        """One client: a claim and its report again and again, until it is over."""
        next_at = time.monotonic()
        while not self._is_over.is_set():
            claim = client.claim_body(queue)
            for dispatch in self._ask(client, "/v1/claims", claim)["dispatches"]:
                report = outcome_of(dispatch, {"status": "success", "output": {}})
                body = {"session": claim["session"], "chain": False, "reports": [report]}
                (result,) = self._ask(client, "/v1/reports", body)["results"]
                assert result["status"] == "finished", result
                with self._lock:
                    self.executed.append(dispatch["run"]["id"])
            # What was missed is not made up for: the load stays bounded.
            next_at = max(next_at + every_seconds, time.monotonic())
            self._is_over.wait(next_at - time.monotonic())

    def end(self) -> None:
        self._is_over.set()

    def _ask(self, client: Client, path: str, body: Any) -> Json:
        """Ask until it is answered, as every client of this service has to."""
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        while True:
            answer = self._send(client, path, body)
            if answer.status_code == httpx2.codes.OK:
                parsed: Json = answer.json()
                return parsed
            assert answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE, answer.text
            assert time.monotonic() < give_up_at, answer.text
            time.sleep(REPEAT_AFTER_SECONDS)

    def _send(self, client: Client, path: str, body: Any) -> httpx2.Response:
        began_at = time.monotonic()
        answer = client.send("POST", path, body)
        with self._lock:
            self.statuses[answer.status_code] += 1
            self.seconds.append(time.monotonic() - began_at)
        return answer


@contextmanager
def steady_load(
    url: str, token: str, queue: str, *, claims_per_second: float
) -> Iterator[SteadyLoad]:
    """
    A load for as long as the block.

    Raises:
        AssertionError: Something was answered that is neither success nor 503.
    """
    load = SteadyLoad()
    clients = [Client(url, token) for _ in range(CLIENTS)]
    began_at = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as threads:
        working: list[Future[None]] = [
            threads.submit(
                load.claim_and_report, client, queue, every_seconds=CLIENTS / claims_per_second
            )
            for client in clients
        ]
        try:
            yield load
        finally:
            load.end()
            for client, work in zip(clients, working, strict=True):
                with closing(client):
                    work.result(GIVE_UP_SECONDS)
            load.lasted_seconds = time.monotonic() - began_at
